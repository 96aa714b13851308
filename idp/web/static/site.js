// Enhancements only: every page works without this file (a browser without modules never loads it).
// It keeps times fresh and local and refreshes a receipt while notices are on their way; session.js sees to pages that
// outlive their session. It never reads or stores a secret.

const body = document.body;

// ── times: "2 hours ago" stays true; absolute times in the reader's own zone ──
const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const two = (number) => String(number).padStart(2, "0");
const day = (moment) => `${moment.getDate()} ${months[moment.getMonth()]} ${moment.getFullYear()}`;
const clock = (moment) => [moment.getHours(), moment.getMinutes(), moment.getSeconds()].map(two).join(":");
const minute = (moment) => `${day(moment)}, ${two(moment.getHours())}:${two(moment.getMinutes())}`;
const full = (moment) => `${day(moment)}, ${clock(moment)}`;

function ago(moment) {
  const seconds = Math.max(0, Math.round((Date.now() - moment.getTime()) / 1000));
  if (seconds < 60) return "just now";
  for (const [unit, size, limit] of [["minute", 60, 3600], ["hour", 3600, 86400], ["day", 86400, 30 * 86400]]) {
    if (seconds < limit) {
      const count = Math.floor(seconds / size);
      return `${count} ${unit}${count === 1 ? "" : "s"} ago`;
    }
  }
  return `on ${day(moment)}`;
}

function showTimes(root = document) {
  for (const element of root.querySelectorAll("time[data-time]")) {
    const moment = new Date(element.dateTime);
    if (Number.isNaN(moment.getTime())) continue;
    const words = { ago, day, clock, minute, full }[element.dataset.time]?.(moment);
    if (words && element.textContent !== words) element.textContent = words;
    if (element.title) element.title = full(moment);
  }
}
showTimes();
setInterval(() => showTimes(), 30_000);

// ── a receipt: the moment at which the last access dies, counted down ──
function countDown() {
  for (const left of document.querySelectorAll("[data-until]")) {
    const seconds = Math.ceil((new Date(left.dataset.until).getTime() - Date.now()) / 1000);
    if (Number.isNaN(seconds)) continue;
    if (seconds > 0) {
      left.textContent = `, in ${seconds >= 60 ? `${Math.floor(seconds / 60)} min ` : ""}${seconds % 60} s`;
    } else {
      left.parentElement.hidden = true;
      const over = left.parentElement.parentElement.querySelector("#access-over");
      if (over) over.hidden = false;
    }
  }
}
countDown();
if (document.querySelector("[data-until]")) setInterval(countDown, 1_000);

// ── Front-Channel Logout: on to the application when its frames have loaded, or after two seconds ──
if (body.dataset.goOn) {
  const frames = [...document.querySelectorAll("[data-front-channel]")];
  const loaded = frames.map((frame) => new Promise((done) => frame.addEventListener("load", done)));
  const longest = new Promise((done) => setTimeout(done, 2_000));
  Promise.race([Promise.all(loaded), longest]).then(() => location.replace(body.dataset.goOn));
}

// ── a receipt with notices still on their way, a test under way ──
async function refreshLive(waits) {
  const here = document.querySelector("[data-live]");
  if (!here || !("pending" in here.dataset)) return;
  await new Promise((done) => setTimeout(done, waits));
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store", redirect: "error" });
    if (answer.ok) {
      const there = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-live]");
      if (there) {
        const fresh = document.importNode(there, true);
        showTimes(fresh);
        if (fresh.innerHTML !== here.innerHTML) here.replaceChildren(...fresh.childNodes);
        if (!("pending" in fresh.dataset)) delete here.dataset.pending;
      }
    } else if (answer.status < 500 && answer.status !== 429) return;
  } catch { /* offline or redirected: the next round asks again */ }
  refreshLive(Math.min(waits * 1.5, 30_000));
}
refreshLive(1_000);

// ── a password that can be looked at ──
for (const box of document.querySelectorAll("[data-reveal]")) {
  const input = box.querySelector("input");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "reveal";
  const show = (visible) => {
    input.type = visible ? "text" : "password";
    button.textContent = visible ? "Hide" : "Show";
    button.setAttribute("aria-label", visible ? "Hide password" : "Show password");
  };
  show(false);
  button.addEventListener("click", () => show(input.type === "password"));
  input.form?.addEventListener("submit", () => show(false));
  box.append(button);
}
