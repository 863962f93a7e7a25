/**
 * What an artifact was made from: drag to move, wheel or + and - to zoom, click a box for its facts, click its
 * mark to fold or unfold what it was made from.
 */
const CHAR = 7.2, HIGH = 42, GAP_X = 46, GAP_Y = 14, WIDTH = 760, MOST = 420;
const NEAREST = 4, FARTHEST = 0.2;

/** Keys of the boxes to show: from the marked ones up through parents that are not folded away. */
export function visible(nodes, edges, folded) {
  const parents = new Map(nodes.map(node => [node.id, []]));
  for (const [parent, child] of edges) parents.get(child)?.push(parent);
  const shown = new Set(), next = nodes.filter(node => node.marked).map(node => node.id);
  while (next.length) {
    const id = next.pop();
    if (shown.has(id)) continue;
    shown.add(id);
    if (!folded.has(id)) next.push(...parents.get(id).filter(parent => parents.has(parent)));
  }
  return shown;
}

/** Columns from left to right: each box right of its rightmost parent. */
export function columns(ids, edges) {
  const depth = new Map([...ids].map(id => [id, 0]));
  for (let round = 0; round < depth.size; round++) {
    let moved = false;
    for (const [parent, child] of edges) {
      if (!depth.has(parent) || !depth.has(child) || depth.get(child) > depth.get(parent)) continue;
      depth.set(child, depth.get(parent) + 1);
      moved = true;
    }
    if (!moved) break;
  }
  const found = [];
  for (const [id, at] of depth) (found[at] ||= []).push(id);
  return found;
}

function place(nodes, rows) {
  const places = new Map();
  let x = 0, bottom = 0;
  for (const column of rows) {
    const wide = Math.max(...column.map(id => CHAR * Math.max(nodes.get(id).label.length, nodes.get(id).line.length))) + 38;
    column.forEach((id, row) => places.set(id, { x, y: row * (HIGH + GAP_Y), wide }));
    bottom = Math.max(bottom, column.length * (HIGH + GAP_Y) - GAP_Y);
    x += wide + GAP_X;
  }
  return { places, wide: x - GAP_X, high: bottom };
}

class View {
  constructor(el, data) {
    this.data = data;
    this.nodes = new Map(data.nodes.map(node => [node.id, node]));
    this.folded = new Set();
    this.chosen = data.nodes.find(node => node.marked)?.id;
    this.picture = svg("svg", {
      width: "100%", role: "group", "aria-label": data.title, tabindex: 0,
      "font-family": "ui-monospace,monospace", "font-size": 12, fill: "currentColor"
    });
    this.picture.style.cssText = `max-width:1280px;touch-action:none;cursor:grab;border:1px solid rgba(127,127,127,.3)`;
    this.facts = html("div", { className: "mlops-facts" });
    this.facts.setAttribute("aria-live", "polite");
    el.replaceChildren(this.buttons(), this.picture, this.facts);
    this.hear();
    this.draw();
    this.fit();
  }

  buttons() {
    const bar = html("div");
    bar.style.cssText = "display:flex;gap:6px;margin:4px 0";
    const acts = [["+", "nearer", () => this.zoom(1.25)], ["−", "farther", () => this.zoom(0.8)], ["fit", "show all of it", () => this.fit()]];
    for (const [text, title, onclick] of acts) bar.append(html("button", { title, ariaLabel: title, onclick }, text));
    return bar;
  }

  hear() {
    let from = null;
    this.picture.onpointerdown = event => { from = [event.clientX, event.clientY]; };
    this.picture.onpointermove = event => {
      if (!from) return;
      const [x, y] = from, ratio = this.box[2] / (this.picture.clientWidth || WIDTH);
      this.box[0] -= (event.clientX - x) * ratio;
      this.box[1] -= (event.clientY - y) * ratio;
      from = [event.clientX, event.clientY];
      this.look();
    };
    this.picture.onpointerup = this.picture.onpointerleave = () => { from = null; };
    this.picture.addEventListener("wheel", event => {
      if (!event.ctrlKey && !event.metaKey && document.activeElement !== this.picture) return; // let the page scroll
      event.preventDefault();
      this.zoom(event.deltaY < 0 ? 1.1 : 1 / 1.1);
    }, { passive: false });
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    this.picture.onkeydown = event => {
      if (event.key === "+" || event.key === "=") this.zoom(1.25);
      else if (event.key === "-") this.zoom(0.8);
      else if (event.key === "0") this.fit();
      else if (step[event.key]) {
        this.box[0] += step[event.key][0] * this.box[2] * 0.1;
        this.box[1] += step[event.key][1] * this.box[3] * 0.1;
        this.look();
      } else return;
      event.preventDefault();
    };
  }

  fit() {
    const wide = Math.max(this.wide + 24, WIDTH), high = Math.max(this.high + 24, 60);
    this.picture.setAttribute("height", Math.min(high * (WIDTH / wide) + 8, MOST));
    this.box = [-12, -12, wide, high];
    this.look();
  }

  zoom(times) {
    const [x, y, wide, high] = this.box;
    const nearer = Math.min(Math.max(wide / times, WIDTH / NEAREST), WIDTH / FARTHEST) / wide;
    this.box = [x + (wide * (1 - nearer)) / 2, y + (high * (1 - nearer)) / 2, wide * nearer, high * nearer];
    this.look();
  }

  look() {
    this.picture.setAttribute("viewBox", this.box.map(v => v.toFixed(1)).join(" "));
    this.picture.setAttribute("preserveAspectRatio", "xMinYMin meet");
  }

  draw() {
    const { edges } = this.data, shown = visible(this.data.nodes, edges, this.folded);
    const drawn = edges.filter(([parent, child]) => shown.has(parent) && shown.has(child));
    const { places, wide, high } = place(this.nodes, columns(shown, drawn));
    [this.wide, this.high] = [wide, high];
    const boxes = [...places].map(([id, at]) => this.box_of(this.nodes.get(id), at, edges.some(([, child]) => child === id)));
    this.picture.replaceChildren(...drawn.map(([a, b]) => arrow(places.get(a), places.get(b))), ...boxes);
    this.tell();
  }

  box_of(node, { x, y, wide }, made) {
    const group = svg("g", { tabindex: 0, role: "button", "data-node": node.id, "aria-label": node.label });
    group.style.cursor = "pointer";
    group.append(
      svg("rect", {
        x, y, width: wide, height: HIGH, rx: 6, fill: "#4c8bf5", "fill-opacity": node.marked ? 0.3 : 0.12,
        stroke: "#4c8bf5", "stroke-width": node.id === this.chosen ? 2.5 : 1
      }),
      svg("text", { x: x + 10, y: y + 17, "font-weight": "bold" }, node.label),
      svg("text", { x: x + 10, y: y + 33, opacity: 0.75 }, node.line)
    );
    const choose = () => { this.chosen = node.id; this.draw(); };
    group.onclick = choose;
    group.onkeydown = event => { if (event.key === "Enter") choose(); };
    if (made) group.append(this.fold_of(node, x + wide - 14, y + 14));
    return group;
  }

  fold_of(node, x, y) {
    const folded = this.folded.has(node.id), words = folded ? "unfold what it was made from" : "fold what it was made from";
    const mark = svg("g", { tabindex: 0, role: "button", "data-fold": node.id, "aria-expanded": !folded, "aria-label": words });
    mark.append(svg("title", {}, words), svg("circle", { cx: x, cy: y - 1, r: 7, fill: "#4c8bf5", "fill-opacity": 0.35 }),
      svg("text", { x, y: y + 3, "text-anchor": "middle" }, folded ? "+" : "−"));
    const fold = event => {
      event.stopPropagation();
      this.folded.delete(node.id) || this.folded.add(node.id);
      this.draw();
    };
    mark.onclick = fold;
    mark.onkeydown = event => { if (event.key === "Enter") fold(event); };
    return mark;
  }

  tell() {
    const node = this.nodes.get(this.chosen);
    if (!node) return this.facts.replaceChildren();
    const rows = node.facts.map(([name, value]) => html("tr", {}, html("th", { scope: "row" }, name), html("td", {}, value)));
    for (const row of rows) row.style.textAlign = "left";
    const table = html("table", {}, html("caption", {}, node.label), html("tbody", {}, ...rows));
    table.style.cssText = "font-size:12px;margin-top:6px";
    table.caption.style.cssText = "text-align:left;font-weight:bold";
    this.facts.replaceChildren(table);
  }
}

function arrow(a, b) {
  const x1 = a.x + a.wide, y1 = a.y + HIGH / 2, x2 = b.x, y2 = b.y + HIGH / 2, mid = (x1 + x2) / 2;
  const made = svg("g", { opacity: 0.7 });
  made.append(
    svg("path", { d: `M${x1} ${y1}C${mid} ${y1} ${mid} ${y2} ${x2} ${y2}`, fill: "none", stroke: "currentColor" }),
    svg("path", { d: `M${x2 - 7} ${y2 - 4}L${x2} ${y2}L${x2 - 7} ${y2 + 4}z` })
  );
  return made;
}

export default {
  render({ model, el }) {
    const draw = () => new View(el, model.get("data"));
    model.on("change:data", draw);
    draw();
  }
};
