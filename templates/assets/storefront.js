// Pages work without this: it shows the total while somebody types, and keeps the page of an order up to date.
"use strict";

const money = (cents) => "R\u00a0" + (cents / 100).toFixed(2).replace(/\B(?=(\d{3})+(?!\d))/g, "\u00a0");

function showTotal(form) {
  const line = document.getElementById("total");
  const discountNote = document.getElementById("discount");
  const update = () => {
    const quantity = Number(form.quantity.value);
    const gross = Number(form.dataset.priceCents) * quantity;
    const applies = form.campaign.value.trim().toUpperCase() === form.dataset.campaign;
    // Half a cent is rounded up, as the server does; the discount is in hundredths of a per cent.
    const discount = applies ? Math.floor((gross * Number(form.dataset.discount) + 5000) / 10000) : 0;
    line.hidden = !(Number.isInteger(quantity) && quantity >= 1 && quantity <= 1000);
    line.querySelector("output").textContent = money(gross - discount);
    if (discountNote) discountNote.hidden = !applies;
  };
  form.addEventListener("input", update);
  update();
}

function watchOrder() {
  const POLL_MS = 5000;
  const seen = new Set(Array.from(document.querySelectorAll("[data-entry]"), (entry) => entry.dataset.entry));
  const live = () => document.getElementById("live");
  let source;
  let asked = 0;

  // The server renders what is new, so that there is one place that knows how an order looks.
  async function refresh() {
    const turn = ++asked;
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok || turn !== asked) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const focused = live().contains(document.activeElement) ? document.activeElement.id : "";
    live().replaceWith(document.importNode(fresh.getElementById("live"), true));
    document.title = fresh.title;
    if (focused) document.getElementById(focused)?.focus();
    if (!live().dataset.events) source.close();
  }

  function hear(event) {
    const entry = JSON.parse(event.data);
    if (seen.has(entry.id)) return;
    seen.add(entry.id);
    if (!entry.id.endsWith("_internal")) document.getElementById("news").textContent = entry.text;
    refresh().catch(() => {});
  }

  // A browser gives up after an answer that is no stream, such as 503; then ask from time to time.
  async function pollInstead() {
    if (source.readyState !== EventSource.CLOSED || !live().dataset.events) return;
    await refresh().catch(() => {});
    setTimeout(pollInstead, POLL_MS);
  }

  source = new EventSource(live().dataset.events);
  for (const kind of live().dataset.kinds.split(" ")) source.addEventListener(kind, hear);
  source.addEventListener("end", () => { source.close(); refresh().catch(() => {}); });
  source.addEventListener("error", pollInstead);
}

const form = document.getElementById("order");
if (form) showTotal(form);
document.getElementById("errors")?.focus();
if (document.querySelector("#live[data-events]")) watchOrder();
