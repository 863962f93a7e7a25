/** Bars by bin. A click on the axis label changes between linear and logarithmic. */
const SVG = "http://www.w3.org/2000/svg";

function node(name, attributes = {}, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

/** Length of a bar from 0 to 1. */
export function share(count, most, log) {
  if (!count) return 0;
  return log ? Math.log1p(count) / Math.log1p(most) : count / most;
}

function draw(el, data, log, flip) {
  const { labels, counts, title } = data;
  const most = Math.max(1, ...counts), total = counts.reduce((a, b) => a + b, 0) || 1;
  const left = 8 + 7.2 * Math.max(0, ...labels.map(l => l.length));
  const svg = node("svg", {
    width: left + 420, height: 22 * counts.length + 26, role: "img", "aria-label": title || "histogram",
    style: "display:block", "font-family": "ui-monospace,monospace", "font-size": 12, fill: "currentColor"
  });
  svg.append(node("text", { x: 0, y: 14, "font-weight": "bold" }, title || ""));
  counts.forEach((count, i) => {
    const row = node("g", { transform: `translate(0,${22 + 22 * i})` });
    const percent = ((100 * count) / total).toPrecision(3);
    row.append(
      node("title", {}, `${labels[i]}: ${count.toLocaleString()} (${percent} %)`),
      node("text", { x: 0, y: 14 }, labels[i]),
      node("rect", { x: left, y: 2, width: 260, height: 16, fill: "#4c8bf5", opacity: 0.15 }),
      node("rect", { x: left, y: 2, width: 260 * share(count, most, log), height: 16, fill: "#4c8bf5" }),
      node("text", { x: left + 268, y: 14 }, `${count.toLocaleString()}  ${percent} %`)
    );
    svg.append(row);
  });
  const button = document.createElement("button");
  button.textContent = log ? "logarithmic axis" : "linear axis";
  button.title = "change the axis";
  button.onclick = flip;
  el.replaceChildren(svg, button);
}

export default {
  render({ model, el }) {
    let log = false;
    const show = () => draw(el, model.get("data"), log, () => { log = !log; show(); });
    model.on("change:data", show);
    show();
  }
};
