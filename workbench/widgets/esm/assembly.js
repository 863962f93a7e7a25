/** Machine code with marked lines: search it, see only the loop or the whole function, hover a register to see its uses. */
const REGISTER = /%?\b(?:[xyz]mm\d{1,2}|[er]?(?:[abcd]x|[sd]i|[sb]p)|r(?:8|9|1[0-5])[dwb]?|k[0-7]|[wxvqsd]\d{1,2}|[ast]\d{1,2}|v\d{1,2})\b/g;

/** Positions of the lines to show: all, or those at most `context` away from the marked ones. */
export function kept(count, marked, context) {
  const all = Array.from({ length: count }, (_, i) => i);
  if (context === null || !marked.length) return all;
  const low = Math.min(...marked) - context, high = Math.max(...marked) + context;
  return all.filter(i => i >= low && i <= high);
}

/** A line as pieces of text and registers, so that registers can be marked without markup. */
export function pieces(line) {
  const found = [];
  let from = 0;
  for (const match of line.matchAll(REGISTER)) {
    if (match.index > from) found.push([line.slice(from, match.index), ""]);
    found.push([match[0], match[0].replace("%", "").replace(/^[xyz]mm/, "mm")]);
    from = match.index + match[0].length;
  }
  if (from < line.length) found.push([line.slice(from), ""]);
  return found;
}

class View {
  constructor(el, data) {
    this.data = data;
    this.marked = new Set(data.marked);
    this.context = data.context;
    this.code = html("pre", { tabIndex: 0, className: "mlops-asm" });
    this.code.style.cssText = "line-height:1.3;max-height:420px;overflow:auto;margin:4px 0";
    this.found = html("small", { className: "mlops-found", ariaLive: "polite" });
    const search = html("input", { type: "search", placeholder: "search instructions", ariaLabel: "search instructions" });
    search.oninput = () => this.search(search.value.trim().toLowerCase());
    const all = html("button", { title: "the loop alone or the whole function" }, this.words());
    all.onclick = () => { this.context = this.context === null ? 6 : null; all.textContent = this.words(); this.draw(); };
    const bar = html("div", {}, html("b", {}, data.title), html("br"), search, " ", ...(data.marked.length < data.lines.length ? [all] : []), " ", this.found);
    el.replaceChildren(bar, this.code);
    this.code.onpointerover = event => this.point(event.target.dataset?.register);
    this.code.onpointerleave = () => this.point("");
    this.query = "";
    this.draw();
  }

  words() {
    return this.context === null ? "only the marked loop" : `all ${this.data.lines.length} lines`;
  }

  draw() {
    this.rows = kept(this.data.lines.length, this.data.marked, this.context).map(at => {
      const row = html("span", {}, ...pieces(this.data.lines[at]).map(([text, register]) => {
        if (!register) return text;
        const made = html("span", {}, text);
        made.dataset.register = register;
        return made;
      }), "\n");
      row.style.cssText = this.marked.has(at) ? "display:block;background:#4c8bf533;font-weight:bold" : "display:block";
      row.dataset.line = at;
      return row;
    });
    this.code.replaceChildren(...this.rows);
    this.search(this.query);
  }

  search(query) {
    this.query = query;
    const hits = this.rows.filter(row => query && row.textContent.toLowerCase().includes(query));
    for (const row of this.rows) row.style.outline = hits.includes(row) ? "1px solid #f06bd0" : "";
    this.found.textContent = query ? `${hits.length} of ${this.rows.length} lines` : "";
    if (hits.length) this.code.scrollTop = hits[0].offsetTop - this.code.offsetTop - 40;
  }

  point(register) {
    for (const one of this.code.querySelectorAll("[data-register]")) {
      one.style.background = register && one.dataset.register === register ? "#e07b3988" : "";
    }
  }
}

export default {
  render({ model, el }) {
    const draw = () => new View(el, model.get("data"));
    model.on("change:data", draw);
    draw();
  }
};
