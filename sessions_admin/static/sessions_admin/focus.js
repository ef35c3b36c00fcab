/* A browser gives the focus to [autofocus] when it first draws the page. Unfold hides the page until Alpine has begun,
   which on a slow network is later: nothing had the focus then. */
document.addEventListener("alpine:initialized", () => {
  setTimeout(() => {  // Alpine shows the page after this event
    const field = document.querySelector("[autofocus]");
    if (field && document.activeElement === document.body) field.focus();
  });
});
