/** Score over a cost of the reader's choice; hover for the name, click to copy it. */
const WIDTH = 460, HEIGHT = 220, LEFT = 56, RIGHT = 16, TOP = 14, BOTTOM = 34;

/** Points that no other beats in both, cheapest first. */
export function frontier(points, cost) {
  let best = -Infinity;
  return [...points].sort((a, b) => a[cost] - b[cost] || b.score - a.score).filter(point => {
    const kept = point.score > best;
    best = Math.max(best, point.score);
    return kept;
  });
}

function scale(values, from, to) {
  const low = Math.min(...values), span = Math.max(...values) - low || Math.abs(low) || 1;
  return value => from + ((value - low) / span) * (to - from);
}

function figure(value) {
  if (value >= 1e6) return `${(value / 1e6).toPrecision(3)} M`;
  if (value >= 1e3) return `${(value / 1e3).toPrecision(3)} k`;
  return Number(value.toPrecision(4)).toString();
}

function draw(points, cost, unit) {
  const root = svg("svg", {
    width: WIDTH, height: HEIGHT, role: "img", "aria-label": `score over ${cost}`,
    style: "display:block", "font-family": "ui-monospace,monospace", "font-size": 11, fill: "currentColor"
  });
  const x = scale(points.map(p => p[cost]), LEFT + 8, WIDTH - RIGHT - 60);
  const y = scale(points.map(p => p.score), HEIGHT - BOTTOM - 8, TOP + 8);
  root.append(svg("path", { d: `M${LEFT} ${TOP}V${HEIGHT - BOTTOM}H${WIDTH - RIGHT}`, fill: "none", stroke: "currentColor", opacity: 0.4 }));
  for (const end of [Math.min, Math.max]) {
    const cheap = end(...points.map(p => p[cost])), score = end(...points.map(p => p.score));
    root.append(svg("text", { x: x(cheap), y: HEIGHT - BOTTOM + 14, "text-anchor": "middle" }, figure(cheap)));
    root.append(svg("text", { x: LEFT - 6, y: y(score) + 4, "text-anchor": "end" }, figure(score)));
  }
  root.append(svg("text", { x: WIDTH - RIGHT, y: HEIGHT - 4, "text-anchor": "end" }, unit));
  const best = frontier(points, cost);
  root.append(svg("polyline", {
    points: best.map(p => `${x(p[cost])},${y(p.score)}`).join(" "), fill: "none", stroke: "#4c8bf5", "stroke-dasharray": "5 3"
  }));
  for (const point of points) {
    const group = svg("g", { tabindex: 0 });
    group.append(
      svg("title", {}, `${point.name}: score ${point.score}, ${figure(point[cost])} ${unit}`),
      svg("circle", { cx: x(point[cost]), cy: y(point.score), r: best.includes(point) ? 5 : 4, fill: best.includes(point) ? "#4c8bf5" : "#999" }),
      svg("text", { x: x(point[cost]) + 8, y: y(point.score) + 4 }, point.name)
    );
    root.append(group);
  }
  return root;
}

export default {
  render({ model, el }) {
    let cost = "size_bytes";
    const show = () => {
      const { points, costs } = model.get("data");
      const choice = document.createElement("label");
      const select = document.createElement("select");
      choice.append("cost: ", select);
      for (const key of Object.keys(costs)) {
        const option = document.createElement("option");
        option.value = key;
        option.textContent = key.replace("_", " in ");
        option.selected = key === cost;
        option.disabled = points.filter(p => p[key] !== null).length < 2;
        select.append(option);
      }
      select.onchange = () => { cost = select.value; show(); };
      el.replaceChildren(choice, draw(points.filter(p => p[cost] !== null), cost, costs[cost]));
    };
    model.on("change:data", show);
    show();
  }
};
