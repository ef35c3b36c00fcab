// The linking page: fetch a snapshot, then listen; ask every 3 s while the socket is down.
// No words in here: the server has rendered every face of the page, this only chooses one and fills its blanks.

const POLL = 3_000; // as the sign at the foot says
const SILENCE = 50_000; // the server sends a heartbeat every 20 s
const HANDSHAKE = 8_000; // a proxy that drops the upgrade may never answer
const LONGEST_WAIT = 30_000; // between two tries of the socket
const OVER = new Set([4403, 4404]); // close codes: revoked or expired; unknown
const RELOADED = "linkdesk-reloaded";

const card = document.querySelector("main");
const here = card.dataset.here;
const stage = card.querySelector(".stage");
const faces = [...stage.children];
const heading = card.querySelector("[data-title]");
const sign = card.querySelector("[data-sign]");
const tile = card.querySelector("[data-qr]");
const refusal = card.querySelector("[data-slot=refusal]");
const codeWord = card.querySelector("[data-code-word]");
const countdown = card.querySelector("[data-countdown]");

let current = null; // the newest snapshot
let refusedAt = null; // the version at which a start was refused
let endsAt = null; // moments on the page's own clock, which nobody can set
let qrEndsAt = null;
let socket = null;
let heardAt = 0;
let isLive = false;
let tries = 0;
let isBusy = false;
let hasStarted = false;
let hasLeft = false;

const isVisible = () => document.visibilityState === "visible";

function show(snapshot) {
  if (current && snapshot.version < current.version) return;
  const now = performance.now();
  endsAt = snapshot.expires_in === null ? null : now + snapshot.expires_in * 1000;
  qrEndsAt = snapshot.qr_expires_in === null ? null : now + snapshot.qr_expires_in * 1000;
  if (refusedAt !== snapshot.version || snapshot.view !== current?.view) refusedAt = null;
  current = snapshot;
  render();
  startOnce();
}

function render() {
  const name = refusedAt === null ? current.face : "refused";
  const face = faces.find((each) => each.dataset.face.split(" ").includes(name)) ?? faces[faces.length - 1];
  const losesFocus = stage.contains(document.activeElement) && !face.contains(document.activeElement);
  card.dataset.state = current.status;
  card.dataset.view = refusedAt === null ? current.view : "unavailable";
  for (const each of faces) each.hidden = each !== face;
  say(face.getAttribute(`data-title-${name}`) ?? face.dataset.title);
  fillBlanks();
  drawQr();
  tick();
  if (losesFocus) heading.focus();
}

function say(title) {
  if (heading.textContent === title) return; // it is a live region: said once
  heading.textContent = title;
  document.title = `${title} · ${card.dataset.workspace}`;
}

function fillBlanks() {
  for (const slot of stage.querySelectorAll("[data-slot]")) {
    if (slot.dataset.slot in current) slot.textContent = current[slot.dataset.slot];
  }
  for (const each of stage.querySelectorAll(".phone")) each.hidden = !current.phone;
  for (const each of stage.querySelectorAll("[data-devices]")) each.hidden = !current.devices_left;
  stage.querySelector("blockquote").hidden = !current.action_message;
  stage.querySelector("[data-typed]").hidden = !current.pairing_code;
  const ask = stage.querySelector("[data-ask]");
  ask.hidden = !current.can_ask_code;
  if (ask.hidden) codeWord.textContent = "";
  stage.querySelector("[data-place]").hidden = !current.place;
  countdown.hidden = current.view !== "scan";
}

// What the tile shows, so that the same code is not drawn (or fetched) again.
let drawn = tile.querySelector("img")?.getAttribute("src") ?? null;

function drawQr() {
  const wanted = current.qr_svg || (current.qr_png ? `${here}qr.png?${current.session_id}-${current.qr_count}` : "");
  if (wanted === drawn) return;
  drawn = wanted;
  if (current.qr_png) {
    const image = new Image();
    image.src = wanted;
    image.alt = tile.dataset.label;
    tile.replaceChildren(image);
  } else {
    tile.innerHTML = wanted; // drawn by our own server
    tile.firstElementChild?.setAttribute("role", "img");
    tile.firstElementChild?.setAttribute("aria-label", tile.dataset.label);
  }
}

function tick() {
  const now = performance.now();
  if (endsAt !== null) {
    const left = Math.max(0, endsAt - now) / 1000;
    card.querySelector("[data-seconds]").textContent = Math.ceil(left);
    card.querySelector("[data-bar]").value = left;
  }
  if (endsAt !== null && now >= endsAt) {
    endsAt = null;
    refresh();
  }
  if (qrEndsAt !== null && now >= qrEndsAt) {
    qrEndsAt = null;
    current = { ...current, qr_svg: "", qr_png: false }; // a code that no longer works is not shown, even offline
    drawQr();
    refresh();
  }
}

function setSign(state) {
  sign.dataset.sign = state;
  for (const word of sign.querySelectorAll("[data-sign-word]")) word.hidden = word.dataset.signWord !== state;
}

async function request(path, options = {}) {
  const headers = { Accept: "application/json", ...options.headers };
  const signal = AbortSignal.timeout?.(15_000); // phones of 2021 do not know it
  const response = await fetch(here + path, { cache: "no-store", signal, ...options, headers });
  if (response.status === 404 || response.status === 410) leave();
  return response;
}

async function refresh() {
  if (hasLeft) return;
  try {
    const response = await request("snapshot");
    if (!response.ok) throw new Error(response.statusText);
    show(await response.json());
    if (!isLive) setSign("polling");
  } catch {
    if (!isLive) setSign("offline");
  }
}

async function start() {
  if (isBusy) return;
  isBusy = true;
  markBusy();
  try {
    const token = card.querySelector("[name=csrfmiddlewaretoken]").value;
    const response = await request("start", { method: "POST", headers: { "X-CSRFToken": token } });
    if (response.status === 403) return await refuse(refusal.dataset.blocked); // no CSRF cookie: blocked, or http
    if (response.headers.get("Content-Type") !== "application/json") throw new Error(response.statusText);
    const answer = await response.json();
    if (response.ok) show(answer);
    else await refuse(answer.error.message);
  } catch {
    await refresh(); // it may have arrived all the same
  } finally {
    isBusy = false;
    markBusy();
  }
}

// The code itself comes by snapshot, some seconds later.
async function askCode(form) {
  if (isBusy) return;
  isBusy = true;
  markBusy();
  try {
    const response = await request("code", { method: "POST", body: new FormData(form) });
    const answer = await response.json();
    codeWord.textContent = response.ok ? codeWord.dataset.asked : answer.error.message;
    if (response.ok) show(answer);
  } catch {
    codeWord.textContent = codeWord.dataset.failed;
  } finally {
    isBusy = false;
    markBusy();
  }
}

async function refuse(message) {
  refusal.textContent = message;
  if (!current) await refresh(); // pressed before the first snapshot was here
  refusedAt = current?.version ?? null;
  if (current) render();
}

function markBusy() {
  for (const button of stage.querySelectorAll("button")) button.setAttribute("aria-disabled", String(isBusy));
}

// A page in the background, or one that the browser only prepares, takes no place at a bridge.
function startOnce() {
  if (hasStarted || current?.view !== "idle" || !isVisible()) return;
  hasStarted = true;
  start();
}

function listen() {
  if (hasLeft) return;
  const url = new URL(`/ws${here}`, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  heardAt = performance.now();
  socket = new WebSocket(url);
  socket.onmessage = (event) => {
    heardAt = performance.now();
    isLive = true;
    tries = 0;
    setSign("live");
    const message = JSON.parse(event.data);
    if ("version" in message) show(message);
  };
  socket.onclose = (event) => lose(event.code);
}

function lose(code) {
  isLive = false;
  socket.onmessage = socket.onclose = null; // a dead one may still close, minutes later
  if (OVER.has(code)) return leave();
  refresh();
  const wait = Math.min(LONGEST_WAIT, 1000 * 2 ** tries++);
  setTimeout(listen, wait * (0.75 + Math.random() / 2)); // a restarted server must not meet all of them at once
}

function watchSocket() {
  if (!socket?.onclose) return; // not there yet, or given up
  if (performance.now() - heardAt < (isLive ? SILENCE : HANDSHAKE)) return;
  socket.close();
  lose(0);
}

// The link is over: the server's own page says why. Once, should the two ever disagree.
function leave() {
  if (hasLeft) return;
  hasLeft = true;
  setSign("offline");
  if (Date.now() - Number(sessionStorage.getItem(RELOADED)) < 60_000) return;
  sessionStorage.setItem(RELOADED, String(Date.now()));
  location.reload();
}

stage.addEventListener("submit", (event) => {
  event.preventDefault();
  if (event.target.matches("[data-code-form]")) askCode(event.target);
  else start();
});
document.addEventListener("visibilitychange", () => {
  if (isVisible()) refresh();
});
window.addEventListener("online", refresh);
window.addEventListener("pageshow", (event) => event.persisted && refresh());
setInterval(tick, 250);
setInterval(watchSocket, 1000);
setInterval(() => !isLive && isVisible() && refresh(), POLL);

setSign("connecting");
refresh().then(listen);
