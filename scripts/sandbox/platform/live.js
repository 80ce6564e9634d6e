"use strict";
// Brings a page that says so up to date in place: it stays where it is scrolled to, and what is marked stays marked.
const seconds = Number(document.querySelector("main").dataset.live);

async function renew() {
  if (document.hidden || String(getSelection())) return;
  const answer = await fetch(location.href, { signal: AbortSignal.timeout(10000) });
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
  const old = document.querySelector("main");
  if (!fresh || fresh.innerHTML === old.innerHTML) return;
  const open = [...old.querySelectorAll("details")].map((each) => each.open);
  fresh.querySelectorAll("details").forEach((each, index) => { each.open = open[index] ?? each.open; });
  old.replaceWith(document.adoptNode(fresh));
}
async function renewForEver() {
  try { await renew(); } catch { /* away for a while: the next time will tell */ }
  setTimeout(renewForEver, 1000 * seconds);
}
if (seconds > 0) setTimeout(renewForEver, 1000 * seconds);
