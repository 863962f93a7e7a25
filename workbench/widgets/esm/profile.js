/**
 * A profile: drag over the timeline to see only that time, click a box to zoom, type to search.
 * The data is described in workbench/trace/reports/explore.py.
 */
const WIDTH = 960, ROW = 19, CHAR = 7.3, LEFT = 92, RIGHT = 62, HIGH = 40, GAP = 24;
const FONT = { "font-family": "ui-monospace,monospace", "font-size": 12 };
const HUES = { cell: [214, 82, 73], python: [150, 42, 69], native: [34, 78, 71] };

/** A value with its unit, as people read it. */
export function amount(value, unit) {
  const steps = unit === "s" ? [["s", 1], ["ms", 1e-3], ["us", 1e-6], ["ns", 1e-9]]
    : unit === "B" ? [["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10], ["B", 1]] : null;
  if (!steps) return Math.round(value).toLocaleString("en-US");
  const [name, size] = steps.find(([, size]) => Math.abs(value) >= size) || steps[steps.length - 1];
  return `${Number((value / size).toPrecision(3))} ${name}`;
}

/** Sums of every node over the rows inside a window of time bins: [after, before]. */
export function totals(nodes, rows, window) {
  const after = new Float64Array(nodes.length), before = new Float64Array(nodes.length);
  for (const [node, bin, value, was] of rows) {
    if (bin >= 0 && window && (bin < window[0] || bin > window[1])) continue;
    after[node] += value;
    before[node] += was || 0;
  }
  // Parents come before children, so one pass from the end carries everything up.
  for (let node = nodes.length - 1; node > 0; node--) {
    after[nodes[node][0]] += after[node];
    before[nodes[node][0]] += before[node];
  }
  return { after, before };
}

/** Share of the root that is inside boxes whose label has the text, none counted twice. */
export function matched(nodes, frames, sums, query) {
  const inside = new Uint8Array(nodes.length);
  let sum = 0;
  for (let node = 0; node < nodes.length; node++) {
    const [parent, frame] = nodes[node];
    const [label, , source] = frames[frame];
    const above = parent >= 0 && inside[parent];
    const hit = node > 0 && `${label} ${source}`.toLowerCase().includes(query);
    if (hit && !above) sum += sums.after[node] + sums.before[node];
    inside[node] = above || hit ? 1 : 0;
  }
  return sum / ((sums.after[0] + sums.before[0]) || 1);
}

function colour(kind, label, after, before, compare) {
  if (compare) {
    const whole = after + before, change = whole ? Math.max(-1, Math.min(1, (3 * (after - before)) / whole)) : 0;
    const [hue, light] = change > 0 ? [6, 68] : [208, 66], strength = Math.abs(change);
    return `hsl(${hue},${85 * strength}%,${84 - (84 - light) * strength}%)`;
  }
  if (kind === "root") return "#c3c8cf";
  let code = 7;
  for (const letter of label) code = (code * 31 + letter.codePointAt(0)) >>> 0;
  const [hue, saturation, light] = HUES[kind] || HUES.native, shift = (code % 13) - 6;
  return `hsl(${hue + shift},${saturation}%,${light + shift / 2}%)`;
}

class View {
  constructor(el, data) {
    this.el = el;
    this.data = data;
    this.weight = Object.keys(data.weights)[0];
    this.window = null;
    this.zoom = 0;
    this.query = "";
    this.children = data.nodes.map(() => []);
    data.nodes.forEach(([parent], node) => parent >= 0 && this.children[parent].push(node));
    this.flame = html("div");
    this.time = html("div");
    this.found = html("span", { className: "mlops-found" });
    el.replaceChildren(...this.summary(), this.table(0), this.controls(), this.flame, this.time, ...this.rest());
    this.drawFlame();
    this.drawTime();
  }

  summary() {
    return (this.data.summary || []).map(line => html("div", {}, line));
  }

  controls() {
    const bar = html("div"), weights = Object.entries(this.data.weights);
    bar.style.cssText = "display:flex;gap:8px;align-items:center;margin:8px 0;flex-wrap:wrap";
    const choose = html("select", { title: "what a box's width stands for" });
    for (const [name, { title }] of weights) choose.append(html("option", { value: name }, title));
    choose.onchange = () => { this.weight = choose.value; this.zoom = 0; this.drawFlame(); };
    const search = html("input", { type: "search", placeholder: "search functions and lines" });
    search.style.minWidth = "220px";
    search.oninput = () => { this.query = search.value.trim().toLowerCase(); this.drawFlame(); };
    const reset = html("button", { title: "whole trace, no zoom, no search" }, "reset");
    reset.onclick = () => {
      search.value = this.query = "";
      this.zoom = 0;
      this.window = null;
      this.drawFlame();
      this.drawTime();
    };
    if (weights.length) bar.append(choose, search, reset, this.found);
    return bar;
  }

  drawFlame() {
    const chosen = this.data.weights[this.weight];
    if (!chosen) return this.flame.replaceChildren(html("p", {}, "no stacks were seen"));
    const { nodes, frames, compare } = this.data, sums = totals(nodes, chosen.rows, this.window);
    const value = node => compare ? (sums.after[node] + sums.before[node]) / 2 : sums.after[node];
    const path = [];
    for (let node = this.zoom; node >= 0; node = nodes[node][0]) path.unshift(node);
    const picture = svg("svg", { width: "100%", role: "img", "aria-label": "flame graph", ...FONT });
    picture.style.cssText = "max-width:1280px;min-width:640px;cursor:pointer";
    path.forEach((node, row) => picture.append(this.box(node, 0, WIDTH, row, sums, chosen.unit)));
    let rows = path.length;
    const place = (node, left, scale, row) => {
      for (const child of [...this.children[node]].sort((a, b) => value(b) - value(a))) {
        const width = value(child) * scale;
        if (width < 0.5) break;
        picture.append(this.box(child, left, width, row, sums, chosen.unit));
        rows = Math.max(rows, row + 1);
        place(child, left, scale, row + 1);
        left += width;
      }
    };
    if (value(this.zoom) > 0) place(this.zoom, 0, WIDTH / value(this.zoom), path.length);
    picture.setAttribute("viewBox", `0 0 ${WIDTH} ${rows * ROW + 2}`);
    this.flame.replaceChildren(picture);
    this.found.textContent = this.query
      ? `${(100 * matched(nodes, frames, sums, this.query)).toFixed(1)} % matches`
      : `${amount(sums.after[0], chosen.unit)} of ${chosen.title}`;
  }

  box(node, left, width, row, sums, unit) {
    const { nodes, frames, compare } = this.data, [label, kind, source] = frames[nodes[node][1]];
    const after = sums.after[node], before = sums.before[node];
    const hit = this.query && node > 0 && `${label} ${source}`.toLowerCase().includes(this.query);
    const figure = compare
      ? `${amount(before, unit)} → ${amount(after, unit)}`
      : `${amount(after, unit)}, ${((100 * after) / (sums.after[0] || 1)).toFixed(1)} %`;
    const fill = hit ? "#f06bd0" : colour(kind, label, after, before, compare);
    const group = svg("g", { tabindex: 0, "data-node": node, opacity: this.query && !hit ? 0.55 : 1 });
    const room = Math.floor((width - 7) / CHAR);
    const text = label.length <= room ? label : room >= 3 ? `${label.slice(0, room - 1)}…` : "";
    group.append(
      svg("title", {}, `${label}\n${figure}${source ? `\n${source}` : ""}`),
      svg("rect", { x: left, y: row * ROW, width: Math.max(width - 0.6, 0.4), height: ROW - 1, rx: 1.5, fill })
    );
    if (text) group.append(svg("text", { x: left + 3, y: row * ROW + 13, fill: "#14181f" }, text));
    const zoom = () => { this.zoom = node; this.drawFlame(); };
    group.onclick = zoom;
    group.onkeydown = event => { if (event.key === "Enter") zoom(); };
    return group;
  }

  drawTime() {
    const { lanes, end_ns: end, bins } = this.data;
    if (!lanes.length) return this.time.replaceChildren();
    const bottom = lanes.length * (HIGH + GAP), inner = WIDTH - LEFT - RIGHT;
    const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${bottom + 22}`, width: "100%", fill: "currentColor", ...FONT });
    picture.style.cssText = "max-width:1280px;min-width:640px;cursor:crosshair;user-select:none;touch-action:none";
    for (const tick of this.data.ticks) {
      const x = LEFT + (inner * tick) / end;
      picture.append(
        svg("path", { d: `M${x} ${GAP}V${bottom + 4}`, stroke: "currentColor", "stroke-opacity": 0.16 }),
        svg("text", { x, y: bottom + 18, "text-anchor": "middle", opacity: 0.75 }, tick ? amount(tick / 1e9, "s") : "0")
      );
    }
    lanes.forEach((lane, i) => picture.append(...this.lane(lane, i * (HIGH + GAP))));
    const shade = svg("rect", { y: GAP - 2, height: bottom - GAP + 2, fill: "currentColor", "fill-opacity": 0.14 });
    const mark = window => {
      shade.setAttribute("x", LEFT + (inner * window[0]) / bins);
      shade.setAttribute("width", (inner * (window[1] - window[0] + 1)) / bins);
    };
    if (this.window) mark(this.window);
    picture.append(shade);
    this.select(picture, bins, inner, mark);
    const hint = "drag over the timeline to see only that time";
    this.time.replaceChildren(html("small", {}, this.window ? "only the marked time; click the timeline for all" : hint), picture);
  }

  select(picture, bins, inner, mark) {
    let start = null, dragged = null;
    const binAt = event => {
      const area = picture.getBoundingClientRect();
      const x = ((event.clientX - area.left) / area.width) * WIDTH - LEFT;
      return Math.max(0, Math.min(bins - 1, Math.floor((x / inner) * bins)));
    };
    picture.onpointerdown = event => { start = binAt(event); dragged = null; };
    picture.onpointermove = event => {
      if (start === null) return;
      const here = binAt(event);
      if (here !== start || dragged) mark(dragged = [Math.min(start, here), Math.max(start, here)]);
    };
    picture.onpointerup = () => {
      if (start === null) return;
      start = null;
      this.window = dragged;
      this.drawFlame();
      this.drawTime();
    };
  }

  lane([name, unit, series], top) {
    const count = series[0][2].length, base = top + GAP + HIGH, step = (WIDTH - LEFT - RIGHT) / count;
    const floor = new Float64Array(count);
    const peak = Math.max(1e-12, ...series[0][2].map((_, i) => series.reduce((sum, [, , v]) => sum + v[i], 0)));
    const made = [
      svg("text", { x: 0, y: base - HIGH / 2 + 4, "font-weight": "bold" }, name),
      svg("text", { x: WIDTH - RIGHT + 6, y: base - HIGH + 10, opacity: 0.75 }, Number(peak.toPrecision(3)).toLocaleString("en-US")),
      svg("text", { x: LEFT, y: top + 15, opacity: 0.75 }, unit)
    ];
    let left = LEFT + CHAR * unit.length + 16;
    for (const [label, fill, values] of series) {
      let d = "";
      values.forEach((value, i) => {
        const high = (value / peak) * HIGH, y = base - floor[i] - high;
        if (high > 0.05) d += `M${(LEFT + i * step).toFixed(1)} ${y.toFixed(1)}h${step.toFixed(2)}v${high.toFixed(1)}h${(-step).toFixed(2)}z`;
        floor[i] += high;
      });
      const area = svg("path", { d, fill });
      area.append(svg("title", {}, label));
      made.push(area);
      if (left + 15 + CHAR * label.length < WIDTH - RIGHT) {
        made.push(svg("rect", { x: left, y: top + 5, width: 11, height: 11, rx: 2, fill }), svg("text", { x: left + 15, y: top + 15 }, label));
        left += 29 + CHAR * label.length;
      }
    }
    made.push(svg("path", { d: `M${LEFT} ${base}H${WIDTH - RIGHT}`, stroke: "currentColor", "stroke-opacity": 0.45 }));
    return made;
  }

  rest() {
    return (this.data.tables || []).slice(1).map((table, i) => {
      const folded = html("details", {}, html("summary", {}, [table.title, table.note].filter(Boolean).join(" · ")), this.table(i + 1));
      folded.open = i < 3 && table.rows.length > 0;
      return folded;
    });
  }

  /** A table that is sorted by the column whose head is clicked. */
  table(index) {
    const table = (this.data.tables || [])[index];
    if (!table) return html("div");
    const order = table.rows.map((_, i) => i), body = html("tbody");
    const fill = () => body.replaceChildren(...order.map(i => html("tr", {}, ...table.rows[i].map((cell, column) => {
      const made = html("td", {}, cell);
      made.style.cssText = `padding:2px 8px;text-align:${table.numbers[i][column] === null ? "left" : "right"}`;
      return made;
    }))));
    const heads = table.columns.map((name, column) => {
      const head = html("th", { title: "sort" }, name);
      head.style.cssText = `cursor:pointer;padding:2px 8px;text-align:${table.numbers.some(row => row[column] !== null) ? "right" : "left"}`;
      let down = true;
      head.onclick = () => {
        const sign = down ? -1 : 1;
        order.sort((a, b) => {
          const [x, y] = [table.numbers[a][column], table.numbers[b][column]];
          return x === null || y === null ? sign * String(table.rows[a][column]).localeCompare(table.rows[b][column]) : sign * (x - y);
        });
        down = !down;
        fill();
      };
      return head;
    });
    fill();
    const shown = html("table", {}, html("thead", {}, html("tr", {}, ...heads)), body);
    shown.style.cssText = "font-size:12px;border-collapse:collapse";
    return index ? shown : html("div", {}, html("b", {}, table.title), shown, html("small", {}, table.note));
  }
}

export default {
  render({ model, el }) {
    const draw = () => new View(el, model.get("data"));
    model.on("change:data", draw);
    draw();
  }
};
