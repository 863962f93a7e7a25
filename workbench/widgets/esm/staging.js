/**
 * A deployment while it is watched: the split of the traffic, one row a track, a chart a measure, what happened.
 * New data is drawn in place, at most once a frame; what the reader folded or hovers stays.
 */
const WIDE = 250, HIGH = 64;
const COLOURS = { stable: "#4c8bf5", canary: "#e07b39", draining: "#8a8f98" };

export function figure(value) {
  return value === null || value === undefined ? "–" : Number(value.toPrecision(3)).toLocaleString("en-US");
}

/** The reading of a curve nearest to a time; null for an empty one. */
export function nearest(points, at) {
  let best = null;
  for (const point of points) if (!best || Math.abs(point[0] - at) < Math.abs(best[0] - at)) best = point;
  return best;
}

const colour = track => COLOURS[track] || "#3aa676";

function split(tracks) {
  const shown = tracks.filter(track => track.weight > 0);
  const words = shown.map(track => `${track.track} ${figure(100 * track.weight)} %`);
  const bar = html("div", { role: "img", ariaLabel: `traffic: ${words.join(", ")}`, className: "mlops-split" });
  bar.style.cssText = "display:flex;height:18px;max-width:780px;border-radius:4px;overflow:hidden;margin:4px 0;font-size:11px;line-height:18px;color:#14181f";
  shown.forEach((track, i) => {
    const part = html("span", { title: words[i] }, track.weight >= 0.12 ? words[i] : "");
    part.style.cssText = `flex:${track.weight} 1 0;background:${colour(track.track)};padding-left:5px;white-space:nowrap;overflow:hidden`;
    bar.append(part);
  });
  return bar;
}

function tracks(data) {
  const body = data.tracks.map(track => {
    const head = html("th", { scope: "row" }, html("span", { ariaHidden: "true" }, "● "), `${track.track} v${track.version}`);
    head.firstChild.style.color = colour(track.track);
    const cells = data.columns.map(([key]) => html("td", {}, typeof track[key] === "string" ? track[key] : figure(track[key])));
    return html("tr", {}, head, ...cells);
  });
  const heads = ["track", ...data.columns.map(([, title]) => title)].map(name => html("th", { scope: "col" }, name));
  const table = html("table", {}, html("thead", {}, html("tr", {}, ...heads)), html("tbody", {}, ...body));
  table.style.cssText = "font-size:12px;margin:4px 0";
  for (const cell of table.querySelectorAll("td, th")) cell.style.cssText = "padding:1px 6px;white-space:nowrap";
  for (const cell of table.querySelectorAll("td, thead th + th")) cell.style.textAlign = "right";
  return table;
}

function chart(measure, unit, curves, hover) {
  const every = Object.values(curves).flat();
  const left = Math.min(...every.map(p => p[0])), right = Math.max(...every.map(p => p[0]), left + 1);
  const top = Math.max(...every.map(p => p[1]), 1e-9);
  const x = v => ((v - left) / (right - left)) * WIDE, y = v => HIGH - 2 - (v / top) * (HIGH - 6);
  const picture = svg("svg", { width: WIDE, height: HIGH, viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": measure });
  picture.style.cssText = "display:block;border-bottom:1px solid rgba(127,127,127,.5)";
  for (const [track, points] of Object.entries(curves)) {
    const line = points.length > 1 ? points : [[left, points[0][1]], [right, points[0][1]]];
    picture.append(svg("polyline", {
      points: line.map(p => `${x(p[0]).toFixed(1)},${y(p[1]).toFixed(1)}`).join(" "), fill: "none", stroke: colour(track), "stroke-width": 1.5
    }));
  }
  const said = at => Object.entries(curves).map(([track, points]) =>
    `${track} ${figure((at === null ? points[points.length - 1] : nearest(points, at))[1])}`).join("  ");
  const words = html("small", {}, said(hover.at));
  const rule = svg("path", { stroke: "currentColor", "stroke-opacity": 0.5, d: hover.at === null ? "" : `M${x(hover.at)} 0V${HIGH}` });
  picture.append(rule);
  hover.tell.push(at => { words.textContent = said(at); rule.setAttribute("d", at === null ? "" : `M${x(at)} 0V${HIGH}`); });
  picture.onpointermove = event => {
    const area = picture.getBoundingClientRect();
    hover.move(left + ((event.clientX - area.left) / area.width) * (right - left));
  };
  picture.onpointerleave = () => hover.move(null);
  const box = html("figure", { className: "mlops-chart" }, html("b", {}, unit ? `${measure}, ${unit}` : measure), " ", html("small", {}, `to ${figure(top)}`), picture, words);
  box.style.cssText = "margin:0;font-size:12px";
  return box;
}

function charts(data, hover) {
  const grid = html("div");
  grid.style.cssText = `display:grid;grid-template-columns:repeat(auto-fill,${WIDE}px);gap:10px 15px;max-width:800px`;
  hover.tell = [];
  for (const [measure, unit, curves] of data.charts) {
    const kept = Object.fromEntries(Object.entries(curves).filter(([, points]) => points.length));
    if (Object.keys(kept).length) grid.append(chart(measure, unit, kept, hover));
  }
  return grid;
}

function events(data, open) {
  const rows = data.events.map(([time, text, kind]) => {
    const row = html("li", {}, html("time", {}, `${time} `), text);
    if (kind === "rollback") row.style.cssText = "color:#c94f4f;font-weight:bold";
    return row;
  });
  const list = html("details", { open }, html("summary", {}, rows.length === 1 ? "1 event" : `${rows.length} events`), html("ul", {}, ...rows));
  list.style.cssText = "font-size:12px;margin:6px 0";
  return list;
}

export default {
  render({ model, el }) {
    let frame = 0;
    const hover = { at: null, tell: [], move: at => { hover.at = at; for (const tell of hover.tell) tell(at); } };
    const draw = () => {
      frame = 0;
      const data = model.get("data"), folded = el.querySelector("details");
      const title = html("div", {}, html("b", {}, data.title), ` ${data.phase} · ${data.route} · `, html("code", {}, data.url));
      title.setAttribute("aria-live", "polite");
      el.replaceChildren(title, split(data.tracks), tracks(data), charts(data, hover), events(data, folded ? folded.open : true));
    };
    model.on("change:data", () => { frame ||= requestAnimationFrame(draw); });
    draw();
    return () => cancelAnimationFrame(frame);
  }
};
