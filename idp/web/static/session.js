// A page of a signed-in person must not outlive the session: not in the back/forward cache, not in another tab or window.
// Browsers keep pages in that cache although they are no-store. So a page hides itself when it leaves, stays hidden
// when it comes back until the provider says that its session lives, and asks again whenever it is looked at.
// Only an enhancement: without modules the headers (no-store, Clear-Site-Data) do what they can.

const page = document.body.dataset;
const CHANNEL = "idp-session";
const ASK_EVERY = 60_000;
const ASK_AGAIN_AFTER = 3_000;

function tellOtherTabs() {
  if (!("BroadcastChannel" in window)) return;
  const channel = new BroadcastChannel(CHANNEL);
  channel.postMessage("signed-out");
  channel.close();
}

function watch(address) {
  let channel = null;
  let isOver = false;
  let askedAt = Date.now();
  const hidden = document.documentElement.classList;

  // Nothing of the page stays in the document: hiding alone would leave it to "view selection" and the like.
  function replaceBy(id, reason) {
    isOver = true;
    const parts = document.getElementById(id).content.cloneNode(true);
    const why = parts.querySelector("[data-reason]");
    if (why && reason) why.textContent = reason;
    for (const link of parts.querySelectorAll("a[data-back]")) {
      link.href += `?next=${encodeURIComponent(location.pathname + location.search)}`;
    }
    document.title = parts.querySelector("h1").textContent;
    for (const name of ["signedIn", "poll", "goOn"]) delete page[name];
    document.body.replaceChildren(parts);
    hidden.remove("unchecked");
    document.querySelector("h1").focus();
  }

  async function ask({ isStrict }) {
    if (isOver) return;
    askedAt = Date.now();
    try {
      const answer = await fetch(address, { cache: "no-store", redirect: "error", signal: AbortSignal.timeout(10_000) });
      if (!answer.ok) throw new Error(String(answer.status));
      const state = await answer.json();
      if (isOver) return;
      if (!state.signed_in) replaceBy("page-signed-out", state.reason);
      else if (page.signedIn && state.session !== page.signedIn) location.reload(); // another sign-in: not this page's
      else hidden.remove("unchecked");
    } catch {
      // A page in use goes on through an outage; one that came back from a cache is shown to nobody unchecked.
      if (isStrict && !isOver) replaceBy("page-unchecked");
    }
  }

  function listen() {
    if (!("BroadcastChannel" in window) || channel) return;
    channel = new BroadcastChannel(CHANNEL);
    channel.addEventListener("message", () => ask({ isStrict: false }));
  }

  listen();
  addEventListener("pagehide", () => {
    hidden.add("unchecked");
    channel?.close(); // an open channel keeps some browsers from caching the page at all
    channel = null;
  });
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    hidden.add("unchecked");
    listen();
    ask({ isStrict: true });
  });
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible" && Date.now() - askedAt > ASK_AGAIN_AFTER) ask({ isStrict: false });
  });
  setInterval(() => { if (document.visibilityState === "visible") ask({ isStrict: false }); }, ASK_EVERY);
}

if ("signedOut" in page) tellOtherTabs();
if ("signedIn" in page && page.sessionCheck) watch(page.sessionCheck);
