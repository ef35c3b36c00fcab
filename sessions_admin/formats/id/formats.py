DATETIME_FORMAT = "Y-m-d H:i:s T"  # seconds and the zone tell one event from the next
