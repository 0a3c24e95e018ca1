// The page of effnet serve. It sends pictures to the server, some at a time, and shows what
// a network says of each. Whatever comes from files or from the server is text here, and
// never HTML.

const atOnce = 3; // requests under way: the server's places are for others too
const topK = 5;
const fileName = "picture"; // what the server calls each

const part = id => document.getElementById(id);
const percent = new Intl.NumberFormat("en", {style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1});
const count = (n, one, more = `${one}s`) => `${n} ${n === 1 ? one : more}`;
const called = prediction => prediction.label || prediction.class;

// A Problem has a sentence for people as its message. Where again is true, the same request
// may succeed later.
class Problem extends Error {
  constructor(message, again) {
    super(message);
    this.again = again;
  }
}

const pictures = []; // all of them, as they came: see add
const names = new Set(); // theirs
let waiting = []; // those that no worker has taken yet
let work = newWork();
let networks = []; // as GET v1/models describes them
let network; // the chosen one
let busy = 0; // requests that wait because the server has no room

function newWork() { return {stop: new AbortController(), workers: 0}; }

// Requests

const store = { // of the token: the browser forgets it with the tab
  get token() { try { return sessionStorage.getItem("effnet-token"); } catch { return this.kept; } },
  set token(token) { try { sessionStorage.setItem("effnet-token", token); } catch { this.kept = token; } },
};

// ask sends a request until the server has room for it and accepts its token.
async function ask(address, options = {}) {
  for (;;) {
    const token = store.token;
    const answer = await reach(address, {...options, headers: token ? {Authorization: `Bearer ${token}`} : {}});
    switch (answer.status) {
      case 200: return await json(answer, options.signal) ?? broken();
      case 401:
        if (token === store.token) await askForToken(token);
        break;
      case 503:
        await pause(Number(answer.headers.get("Retry-After")) || 1, options.signal);
        break;
      default:
        const problem = await json(answer, options.signal);
        throw new Problem(problem?.detail || `The server answered ${answer.status} ${answer.statusText}.`, answer.status >= 500);
    }
  }
}

async function reach(address, options) {
  try {
    return await fetch(address, options);
  } catch {
    options.signal?.throwIfAborted();
    return broken();
  }
}

async function json(answer, signal) {
  try {
    return await answer.json();
  } catch {
    signal?.throwIfAborted();
  }
}

function broken() {
  throw new Problem("The server did not answer. It may have stopped, or the file is larger than it takes.", true);
}

// pause waits for a busy server.
async function pause(seconds, signal) {
  busy++;
  showTools();
  try {
    await new Promise((resolve, reject) => {
      setTimeout(resolve, 1000 * seconds);
      signal?.addEventListener("abort", () => reject(signal.reason), {once: true});
    });
  } finally {
    busy--;
    showTools();
  }
}

let asking; // the token: one question for all requests that need it

function askForToken(refused) {
  asking ??= new Promise((resolve, reject) => {
    const dialog = part("ask"), field = part("token");
    part("ask-title").textContent = refused ? "The server did not accept this token" : "This server requires a token";
    field.value = "";
    dialog.returnValue = "";
    dialog.onclose = () => {
      asking = undefined;
      if (dialog.returnValue === "") {
        cancel();
        reject(new Problem("The server requires a token.", true));
        return;
      }
      store.token = field.value.trim();
      field.value = "";
      resolve();
    };
    dialog.showModal();
  });
  return asking;
}

// askAbout asks the network about a picture.
async function askAbout(picture, parameters, signal) {
  let content;
  try {
    content = new Blob([await picture.file.arrayBuffer()]);
  } catch {
    throw new Problem("The browser cannot read this file. It may have changed, or be gone.", false);
  }
  const body = new FormData();
  body.append("picture", content, fileName);
  const query = new URLSearchParams({model: network.name, ...parameters});
  const answer = await ask(`v1/classify?${query}`, {method: "POST", body, signal});
  return answer.results[0];
}

// Networks

async function loadNetworks() {
  part("problem").hidden = true;
  try {
    networks = (await ask("v1/models")).models;
  } catch (problem) {
    part("problem").hidden = false;
    part("problem").firstElementChild.textContent = problem.message;
    return;
  }
  part("network").replaceChildren(...networks.map(n => new Option(n.name)));
  part("choice").hidden = networks.length < 2;
  chooseNetwork();
}

function chooseNetwork() {
  network = networks[part("network").selectedIndex];
  const facts = [`${network.resolution} × ${network.resolution} pixels`, count(network.classes.length, "class", "classes")];
  if (network.top1) facts.push(`${percent.format(network.top1)} top-1`);
  const [name, about] = part("about").children;
  name.textContent = networks.length < 2 ? network.name : "";
  about.textContent = [network.architecture, ...facts].join(" · ");
  part("map").hidden = !network.cam;
  stop();
  enqueue(pictures);
}

// Pictures, and the queue of those to classify

// add takes new pictures: each is a File and the name that it has here.
function add(found) {
  if (found.length === 0) return;
  const added = found.map(({file, name}) => {
    const card = part("picture").content.cloneNode(true).firstElementChild;
    const row = document.createElement("tr");
    const picture = {file, name: unused(name), card, row};
    pictures.push(picture);
    names.add(picture.name);
    card.querySelector("h2").textContent = card.querySelector("h2").title = picture.name;
    const view = card.querySelector(".view");
    view.querySelector("img").onerror = e => e.target.classList.add("broken"); // of a kind that browsers do not know
    pictureOf.set(view, picture);
    seen.observe(view);
    return picture;
  });
  part("pictures").append(...added.map(p => p.card));
  part("rows").append(...added.map(p => p.row));
  enqueue(added);
  if (pictures.length > added.length) added[0].card.scrollIntoView({block: "nearest"});
}

// unused makes a name differ from those of all other pictures: what is pasted is always
// called image.png.
function unused(name) {
  let free = name;
  for (let n = 2; names.has(free); n++) free = name.replace(/(\.[^./]*)?$/, ` (${n})$1`);
  return free;
}

function enqueue(some) {
  for (const picture of some) {
    picture.mapping?.abort();
    Object.assign(picture, {state: "waiting", message: "Waiting", predictions: [], maps: new Map(), chosen: undefined});
    showPicture(picture);
  }
  waiting.push(...some);
  if (some.length > 0 && network) start();
  else if (!part("problem").hidden) loadNetworks(); // which enqueues all
  showTools();
}

function start() {
  if (work.workers === 0) part("news").textContent = `Classifying ${count(waiting.length, "picture")}`;
  for (let free = Math.min(atOnce - work.workers, waiting.length); free > 0; free--) worker(work);
}

async function worker(mine) {
  mine.workers++;
  while (waiting.length > 0 && mine === work) await classify(waiting.shift(), mine.stop.signal);
  mine.workers--;
  if (mine === work && mine.workers === 0) announce();
}

async function classify(picture, signal) {
  Object.assign(picture, {state: "working", message: "Classifying"});
  showPicture(picture);
  try {
    const {predictions, cam} = await askAbout(picture, {topk: topK, cam: network.cam}, signal);
    signal.throwIfAborted();
    Object.assign(picture, {state: "done", message: "", predictions, chosen: predictions[0]});
    if (cam) picture.maps.set(cam.class, cam);
  } catch (problem) {
    if (signal.aborted) return; // cancel or enqueue says what becomes of it
    Object.assign(picture, {state: "failed", message: sentence(problem), again: problem.again});
  }
  showPicture(picture);
  showTools();
}

// sentence is what went wrong with a picture. Its name is above it already.
function sentence(problem) {
  const text = problem.message.replace(`${fileName}: `, "");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

// stop ends the work. What was under way is nobody's then.
function stop() {
  work.stop.abort();
  work = newWork();
  waiting = [];
}

function cancel() {
  stop();
  for (const picture of pictures.filter(p => p.state === "waiting" || p.state === "working")) {
    Object.assign(picture, {state: "failed", message: "Cancelled", again: true});
    showPicture(picture);
  }
  part("news").textContent = "Cancelled";
  showTools();
}

function clear() {
  stop();
  for (const picture of pictures) {
    picture.mapping?.abort();
    URL.revokeObjectURL(picture.url);
  }
  seen.disconnect();
  pictures.length = 0;
  names.clear();
  part("pictures").replaceChildren();
  part("rows").replaceChildren();
  part("files").focus();
  part("news").textContent = "No pictures";
  showTools();
}

// announce tells those who do not see the page what came of the work.
function announce() {
  const {done, failed} = states();
  const [only] = pictures;
  let text = `${count(done, "picture")} classified`;
  if (failed > 0) text += `, ${failed} failed`;
  if (pictures.length === 1) text = `${only.name}: ${only.message || `${called(only.chosen)}, ${percent.format(only.chosen.probability)}`}`;
  part("news").textContent = text;
}

function states() {
  const n = {waiting: 0, working: 0, done: 0, failed: 0};
  for (const picture of pictures) n[picture.state]++;
  return n;
}

// What is shown

function showTools() {
  const {done, failed, waiting, working} = states();
  const under = waiting + working > 0;
  document.body.classList.toggle("some", pictures.length > 0);
  part("tools").hidden = pictures.length === 0;
  part("overview").hidden = pictures.length === 0;
  let text = under ? `${done + failed} of ${count(pictures.length, "picture")}` : count(pictures.length, "picture");
  if (failed > 0) text += `, ${failed} failed`;
  if (busy > 0) text += ": the server is busy, waiting";
  part("status").textContent = text;
  part("progress").max = Math.max(1, pictures.length);
  part("progress").value = done + failed;
  part("progress").hidden = !under;
  part("csv").disabled = done === 0;
  part("again").hidden = under || !pictures.some(p => p.state === "failed" && p.again);
  if (!under && document.activeElement === part("cancel")) part("clear").focus();
  part("cancel").hidden = !under;
}

function showPicture(picture) {
  const {card, state, message, predictions} = picture;
  card.className = `picture ${state}`;
  card.querySelector(".state").textContent = message;
  card.querySelector(".state").hidden = message === "";
  const classes = card.querySelector("fieldset");
  classes.hidden = predictions.length === 0;
  classes.classList.toggle("plain", !network?.cam);
  classes.querySelector("legend").textContent = `Classes of ${picture.name}`;
  classes.replaceChildren(classes.querySelector("legend"), ...predictions.map(p => classLine(picture, p)));
  showRow(picture);
  showView(picture);
}

function classLine(picture, prediction) {
  const line = part("class").content.cloneNode(true).firstElementChild;
  const name = called(prediction);
  line.title = prediction.label ? `${prediction.class} ${prediction.label}` : prediction.class;
  line.querySelector(".name").textContent = name;
  line.querySelector(".share").textContent = percent.format(prediction.probability);
  line.querySelector("i").style.width = `${100 * prediction.probability}%`;
  const radio = line.querySelector("input");
  radio.name = `class of ${picture.name}`;
  radio.checked = prediction === picture.chosen;
  radio.onchange = () => chooseClass(picture, prediction);
  return line;
}

function showRow({row, name, state, message, predictions}) {
  const [best] = predictions;
  const cells = [name, best ? called(best) : message, best ? percent.format(best.probability) : ""];
  row.replaceChildren(...cells.map((text, i) => {
    const cell = document.createElement(i === 0 ? "th" : "td");
    if (i === 0) cell.scope = "row";
    if (i === 2) cell.className = "number";
    cell.textContent = text;
    return cell;
  }));
  row.className = state;
}

// chooseClass shows the map of another class, and asks for it the first time.
async function chooseClass(picture, prediction) {
  picture.chosen = prediction;
  picture.mapping?.abort();
  const {signal} = picture.mapping = new AbortController();
  const state = picture.card.querySelector(".state");
  state.hidden = true;
  try {
    if (!picture.maps.has(prediction.class)) {
      const {cam} = await askAbout(picture, {topk: 1, cam: prediction.class}, signal);
      signal.throwIfAborted();
      picture.maps.set(prediction.class, cam);
    }
    part("news").textContent = `Map of ${called(prediction)}`;
  } catch (problem) {
    if (signal.aborted) return;
    state.textContent = `There is no map. ${sentence(problem)}`;
    state.hidden = false;
  }
  showView(picture);
}

// Views: the picture as the network sees it, or as the browser does until that is known,
// and the map over it

const pictureOf = new WeakMap(); // of views

// seen draws the maps that come into view, and lets go of the others' pixels.
const seen = new IntersectionObserver(entries => {
  for (const {target, isIntersecting} of entries) {
    pictureOf.get(target).inView = isIntersecting;
    showView(pictureOf.get(target));
  }
}, {rootMargin: "50%"});

async function showView(picture) {
  const [img, canvas] = picture.card.querySelector(".view").children;
  const map = picture.maps.get(picture.chosen?.class);
  if (map) {
    show(img, `data:image/png;base64,${map.picture}`);
    URL.revokeObjectURL(picture.url);
    picture.url = undefined;
  } else {
    show(img, picture.url ??= URL.createObjectURL(picture.file));
  }
  img.alt = map ? `${picture.name}, with a map of where the network sees ${called(picture.chosen)}` : picture.name;
  canvas.width = canvas.height = 0;
  if (!map || !picture.inView) return;
  await img.decode().catch(() => {});
  if (map === picture.maps.get(picture.chosen?.class)) drawMap(canvas, map, img.naturalWidth, img.naturalHeight);
}

function show(img, src) {
  if (img.src === src) return;
  img.classList.remove("broken");
  img.src = src;
}

// drawMap draws a class activation map as internal/heatmap does: from the least of its
// values to the greatest, bilinear between their centres.
function drawMap(canvas, {side, values}, width, height) {
  canvas.width = width;
  canvas.height = height;
  const least = Math.min(...values);
  const range = Math.max(Math.max(...values) - least, 1e-30);
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  const columns = Array.from({length: width}, (_, x) => between(x, width, side));
  for (let y = 0, at = 0; y < height; y++) {
    const row = between(y, height, side);
    for (const column of columns) {
      const [upper, lower] = [row.low, row.high].map(r =>
        values[r * side + column.low] * (1 - column.part) + values[r * side + column.high] * column.part);
      heat((upper * (1 - row.part) + lower * row.part - least) / range, pixels.data, at);
      at += 4;
    }
  }
  context.putImageData(pixels, 0, 0);
}

// between finds the two values that pixel i of n lies between.
function between(i, n, side) {
  const place = Math.min(Math.max((i + .5) * side / n - .5, 0), side - 1);
  const low = Math.floor(place);
  return {low, high: Math.min(low + 1, side - 1), part: place - low};
}

// heat runs from blue over cyan, yellow and red to dark red as share goes from 0 to 1.
function heat(share, data, at) {
  const ramp = centre => 255 * Math.min(Math.max(1.5 - 4 * Math.abs(share - centre), 0), 1);
  data[at] = ramp(.75);
  data[at + 1] = ramp(.5);
  data[at + 2] = ramp(.25);
  data[at + 3] = 255;
}

// The table as a file

// csv has the columns of effnet predict --csv.
function csv() {
  const lines = [["path", "rank", "class", "label", "index", "probability"]];
  for (const {name, predictions} of pictures) {
    predictions.forEach((p, i) => lines.push([harmless(name), i + 1, harmless(p.class), harmless(p.label ?? ""), p.index, Number(p.probability.toPrecision(6))]));
  }
  return lines.map(line => line.map(quoted).join(",") + "\n").join("");
}

// harmless keeps a spreadsheet from taking a text for a formula.
function harmless(text) { return /^[=+\-@\t\r]/.test(text) ? `'${text}` : text; }

function quoted(value) { return /[",\r\n]|^\s/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : value; }

function download() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv()], {type: "text/csv"}));
  link.download = "predictions.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

// Files that are chosen, pasted or dropped

const named = file => ({file, name: file.name});

// dropped lists the files that were dropped, and the images in the folders among them.
async function dropped(transfer) {
  const items = [...transfer.items].filter(i => i.kind === "file");
  const all = items.map(i => ({file: i.getAsFile(), entry: i.webkitGetAsEntry()})); // now: later there are none
  const found = [];
  for (const {file, entry} of all) {
    if (entry?.isDirectory) await walk(entry, found);
    else found.push(named(file));
  }
  return found;
}

async function walk(folder, found) {
  const reader = folder.createReader();
  const entries = [];
  for (let more; more = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)), more.length > 0;) entries.push(...more);
  entries.sort((a, b) => a.name < b.name ? -1 : 1);
  for (const entry of entries) {
    if (entry.isDirectory) {
      await walk(entry, found);
      continue;
    }
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    if (file.type.startsWith("image/")) found.push({file, name: entry.fullPath.slice(1)});
  }
}

part("files").onchange = ({target}) => {
  add([...target.files].map(named));
  target.value = "";
};
addEventListener("paste", event => {
  if (event.clipboardData.files.length === 0) return;
  event.preventDefault();
  add([...event.clipboardData.files].map(named));
});
addEventListener("dragover", event => {
  if (!event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  part("drop").classList.add("over");
});
addEventListener("dragleave", event => {
  if (!event.relatedTarget) part("drop").classList.remove("over");
});
addEventListener("drop", async event => {
  event.preventDefault();
  part("drop").classList.remove("over");
  add(await dropped(event.dataTransfer));
});

part("opacity").oninput = ({target}) => document.documentElement.style.setProperty("--map", target.value / 100);
part("network").onchange = chooseNetwork;
part("reload").onclick = loadNetworks;
part("cancel").onclick = cancel;
part("again").onclick = () => enqueue(pictures.filter(p => p.state === "failed" && p.again));
part("csv").onclick = download;
part("clear").onclick = clear;
part("ask-cancel").onclick = () => part("ask").close();
loadNetworks();
