// The page: products from the cache, orders by POST, and a dashboard that follows the news.
// News are fire and forget, so the dashboard begins with a summary, and asks for it again whenever it was disconnected.

const $ = (id) => document.getElementById(id);
const money = (cents) => (cents / 100).toLocaleString("en", { minimumFractionDigits: 2 });
const shown = 8;
const largest = {};

async function ask(path, options) {
  const answer = await fetch(path, options);
  const told = await answer.json();
  if (answer.ok) return told;
  if (answer.status === 429) throw new Error(`Too many orders at once: try again in ${answer.headers.get("Retry-After")} s.`);
  throw new Error(typeof told.detail === "string" ? `Sorry, ${told.detail}.` : "Sorry, that is no order.");
}

// ---- the shop

function show(page) {
  let item = document.querySelector(`#shelf [data-sku="${CSS.escape(page.sku)}"]`);
  if (!item) {
    item = $("product").content.firstElementChild.cloneNode(true);
    item.dataset.sku = page.sku;
    item.querySelector("img").src = `${page.sku}.svg`;
    item.querySelector("h3").textContent = page.name;
    item.querySelector("form").addEventListener("submit", (event) => { event.preventDefault(); order(page.sku, event.target); });
    $("shelf").append(item);
  }
  largest[page.sku] = Math.max(largest[page.sku] ?? 0, page.stock);
  item.querySelector(".price").textContent = `${money(page.price)} €`;
  item.querySelector(".stock span").textContent = page.stock ? `${page.stock} in stock` : "sold out";
  item.querySelector(".made").textContent = `cached ${new Date(page.made_at).toLocaleTimeString("en-GB")}`;
  item.querySelector("button").disabled = page.stock === 0;
  Object.assign(item.querySelector("meter"), { max: largest[page.sku], low: largest[page.sku] / 4, optimum: largest[page.sku], value: page.stock });
}

async function order(sku, form) {
  const quantity = Number(form.elements.quantity.value);
  try {
    const placed = await ask("api/orders", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ sku, quantity }),
    });
    say(`Thank you: ${placed.quantity} × ${placed.name}, order ${placed.id.slice(0, 8)}.`);
  } catch (error) {
    say(error.message, "no");
  }
}

function say(text, kind = "") {
  $("answer").textContent = text;
  $("answer").className = kind;
}

// ---- the dashboard

function row(id, one) {
  const line = document.createElement("tr");
  line.dataset.order = id;
  const cells = [id.slice(0, 8), one.name, one.quantity, `${money(one.total)} €`].map((text) => Object.assign(document.createElement("td"), { textContent: text }));
  cells[2].className = cells[3].className = "number";
  const state = document.createElement("td");
  state.append(Object.assign(document.createElement("span"), { className: `state ${one.status}`, textContent: one.status }));
  line.append(...cells, state);
  return line;
}

function follow(news) {
  const known = document.querySelector(`[data-order="${CSS.escape(news.order_id)}"]`);
  if (news.status === "billed") {
    known?.replaceWith(row(news.order_id, news));
  } else if (!known) {
    const first = row(news.order_id, news);
    first.className = "new";
    $("recent").prepend(first);
    [...$("recent").children].slice(shown).forEach((old) => old.remove());
    ask(`api/products/${encodeURIComponent(news.sku)}`).then(show);
  }
  count();
}

// Counts are asked for, once for all the news that come meanwhile: whatever is told twice or not at all, they are right.
let counting = false;
let more = false;
async function count() {
  more = true;
  if (counting) return;
  counting = true;
  while (more) {
    more = false;
    tell(await ask("api/summary"));
  }
  counting = false;
}

function tell({ sales, waiting }) {
  const told = { orders: sales.orders, waiting, billed: sales.billed, revenue: `${money(sales.revenue)} €` };
  for (const [name, value] of Object.entries(told)) $(name).textContent = value;
}

async function begin() {
  const [summary, pages] = await Promise.all([ask("api/summary"), ask("api/products")]);
  pages.forEach(show);
  tell(summary);
  $("recent").replaceChildren(...summary.recent.map((one) => row(one.id, one)));
  $("live").textContent = "live";
  $("live").className = "on";
}

// News that come while the summary is on its way wait for it.
const news = new EventSource("api/news");
let ready = Promise.resolve();
news.addEventListener("subscribed", () => { ready = begin(); });
news.addEventListener("message", (event) => ready.then(() => follow(JSON.parse(event.data))));
news.addEventListener("error", () => { $("live").textContent = "connecting"; $("live").className = ""; });
