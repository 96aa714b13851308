// The provider can end the session while this page is open: notice it, and show the page that says so.
async function check() {
  if (document.hidden) return;
  try {
    const answer = await fetch("/status", { cache: "no-store" });
    if (answer.ok && !(await answer.json()).signed_in) location.reload();
  } catch {
    // Offline for a moment: the next check will tell.
  }
}

setInterval(check, 2000);
document.addEventListener("visibilitychange", check);
// "Back" can bring this page out of the browser's memory, as it was before the sign-out.
addEventListener("pageshow", (event) => { if (event.persisted) check(); });
