/** Curves or points over a common x: hover to read them off, click a name to hide its curve, choose the axis. */
const WIDTH = 560, HIGH = 240, LEFT = 64, RIGHT = 12, TOP = 10, BOTTOM = 36, TICKS = 4;
const COLOURS = ["#4c8bf5", "#e07b39", "#3aa676", "#a86fd6", "#c94f6d"];

/** From a value to a place between two ends, on a linear or a logarithmic axis; `at` goes back. */
export function scale(values, from, to, log) {
  const bent = log ? Math.log10 : v => v;
  const low = bent(Math.min(...values)), span = bent(Math.max(...values)) - low || Math.abs(low) || 1;
  const place = value => from + ((bent(value) - low) / span) * (to - from);
  place.at = share => { const value = low + share * span; return log ? 10 ** value : value; };
  return place;
}

const figure = value => Number(value.toPrecision(4)).toLocaleString("en-US", { maximumSignificantDigits: 4 });

class View {
  constructor(el, data) {
    this.data = data;
    this.names = Object.keys(data.series);
    this.hidden = new Set();
    this.log = Boolean(data.log_y);
    this.picture = html("div");
    this.read = html("small", { ariaLive: "polite" });
    const bar = html("div");
    bar.style.cssText = "display:flex;gap:8px;flex-wrap:wrap;align-items:center;margin:4px 0;font-size:12px";
    bar.append(html("b", {}, data.title), ...this.names.map((name, i) => this.choice(name, COLOURS[i % COLOURS.length])));
    const positive = this.names.every(name => data.series[name].every(([, y]) => y > 0));
    if (positive) bar.append(this.axis());
    el.replaceChildren(bar, this.picture, this.read);
    this.draw();
  }

  choice(name, colour) {
    const button = html("button", { title: "hide or show", ariaPressed: "true" }, html("span", { ariaHidden: "true" }, "● "), name);
    button.firstChild.style.color = colour;
    button.onclick = () => {
      this.hidden.delete(name) || this.hidden.add(name);
      button.ariaPressed = String(!this.hidden.has(name));
      button.style.opacity = this.hidden.has(name) ? 0.5 : 1;
      this.draw();
    };
    return button;
  }

  axis() {
    const words = () => (this.log ? "logarithmic axis" : "linear axis");
    const button = html("button", { title: "change the axis", className: "mlops-axis" }, words());
    button.onclick = () => { this.log = !this.log; button.textContent = words(); this.draw(); };
    return button;
  }

  draw() {
    const shown = this.names.filter(name => !this.hidden.has(name) && this.data.series[name].length);
    const every = shown.flatMap(name => this.data.series[name]);
    if (!every.length) return this.picture.replaceChildren();
    const x = scale(every.map(p => p[0]), LEFT, WIDTH - RIGHT, false), y = scale(every.map(p => p[1]), HIGH - BOTTOM, TOP, this.log);
    const picture = svg("svg", {
      width: WIDTH, height: HIGH, viewBox: `0 0 ${WIDTH} ${HIGH}`, role: "img", "aria-label": this.data.title,
      "font-family": "ui-monospace,monospace", "font-size": 11, fill: "currentColor"
    });
    picture.style.cssText = "display:block;max-width:100%";
    for (let tick = 0; tick <= TICKS; tick++) {
      const at = HIGH - BOTTOM - ((HIGH - BOTTOM - TOP) * tick) / TICKS;
      picture.append(
        svg("path", { d: `M${LEFT} ${at}H${WIDTH - RIGHT}`, stroke: "currentColor", "stroke-opacity": 0.15 }),
        svg("text", { x: LEFT - 6, y: at + 4, "text-anchor": "end" }, figure(y.at(tick / TICKS))),
        svg("text", { x: LEFT + ((WIDTH - LEFT - RIGHT) * tick) / TICKS, y: HIGH - BOTTOM + 15, "text-anchor": "middle" }, figure(x.at(tick / TICKS)))
      );
    }
    picture.append(svg("text", { x: WIDTH - RIGHT, y: HIGH - 6, "text-anchor": "end" }, `${this.data.y} over ${this.data.x}`));
    for (const name of shown) picture.append(...this.curve(name, x, y));
    const rule = svg("path", { stroke: "currentColor", "stroke-opacity": 0.4, d: "" });
    picture.append(rule);
    picture.onpointermove = event => this.hover(event, picture, shown, x, rule);
    picture.onpointerleave = () => { rule.setAttribute("d", ""); this.read.textContent = ""; };
    this.picture.replaceChildren(picture);
  }

  curve(name, x, y) {
    const stroke = COLOURS[this.names.indexOf(name) % COLOURS.length], points = this.data.series[name];
    const made = this.data.joined
      ? [svg("polyline", { points: points.map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`).join(" "), fill: "none", stroke, "stroke-width": 2 })]
      : [];
    points.forEach(([a, b, label], i) => {
      const dot = svg("circle", { cx: x(a).toFixed(1), cy: y(b).toFixed(1), r: this.data.joined ? 2 : 4, fill: stroke });
      dot.append(svg("title", {}, `${label || name}: ${figure(b)} at ${figure(a)}`));
      if (!this.data.joined || i === points.length - 1) dot.setAttribute("tabindex", 0);
      made.push(dot);
    });
    return made;
  }

  hover(event, picture, shown, x, rule) {
    const area = picture.getBoundingClientRect(), at = ((event.clientX - area.left) / area.width) * WIDTH;
    const near = shown.map(name => [name, this.data.series[name].reduce((a, b) => (Math.abs(x(b[0]) - at) < Math.abs(x(a[0]) - at) ? b : a))]);
    rule.setAttribute("d", `M${at} ${TOP}V${HIGH - BOTTOM}`);
    this.read.textContent = near.map(([name, [a, b, label]]) => `${label || name}: ${figure(b)} at ${figure(a)}`).join("   ");
  }
}

export default {
  render({ model, el }) {
    const draw = () => new View(el, model.get("data"));
    model.on("change:data", draw);
    draw();
  }
};
