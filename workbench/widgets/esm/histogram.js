/** Bars by bin. A click on the axis label changes between linear and logarithmic. */

/** Length of a bar from 0 to 1. */
export function share(count, most, log) {
  if (!count) return 0;
  return log ? Math.log1p(count) / Math.log1p(most) : count / most;
}

function draw(el, data, log, flip) {
  const { labels, counts, title } = data;
  const most = Math.max(1, ...counts), total = counts.reduce((a, b) => a + b, 0) || 1;
  const left = 8 + 7.2 * Math.max(0, ...labels.map(l => l.length));
  const root = svg("svg", {
    width: left + 420, height: 22 * counts.length + 26, role: "img", "aria-label": title || "histogram",
    style: "display:block", "font-family": "ui-monospace,monospace", "font-size": 12, fill: "currentColor"
  });
  root.append(svg("text", { x: 0, y: 14, "font-weight": "bold" }, title || ""));
  counts.forEach((count, i) => {
    const row = svg("g", { transform: `translate(0,${22 + 22 * i})` });
    const percent = ((100 * count) / total).toPrecision(3);
    row.append(
      svg("title", {}, `${labels[i]}: ${count.toLocaleString()} (${percent} %)`),
      svg("text", { x: 0, y: 14 }, labels[i]),
      svg("rect", { x: left, y: 2, width: 260, height: 16, fill: "#4c8bf5", opacity: 0.15 }),
      svg("rect", { x: left, y: 2, width: 260 * share(count, most, log), height: 16, fill: "#4c8bf5" }),
      svg("text", { x: left + 268, y: 14 }, `${count.toLocaleString()}  ${percent} %`)
    );
    root.append(row);
  });
  const button = document.createElement("button");
  button.textContent = log ? "logarithmic axis" : "linear axis";
  button.title = "change the axis";
  button.onclick = flip;
  el.replaceChildren(root, button);
}

export default {
  render({ model, el }) {
    let log = false;
    const show = () => draw(el, model.get("data"), log, () => { log = !log; show(); });
    model.on("change:data", show);
    show();
  }
};
