"""A view in a real browser: draw it, act on it, hear what it shows."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from workbench.widgets.live import LiveView, module_of

_PAGE = """<html><body><div id="view"></div><pre id="out"></pre><script type="module">
// A window nobody sees may never be painted; timers go on.
window.requestAnimationFrame = act => setTimeout(act, 1);
window.cancelAnimationFrame = clearTimeout;
const code = new Blob([document.getElementById("code").textContent], { type: "text/javascript" });
const { default: view } = await import(URL.createObjectURL(code));
const el = document.getElementById("view");
let data = JSON.parse(document.getElementById("data").textContent), changed = () => {};
const end = view.render({ model: { get: () => data, on: (_, act) => { changed = act; } }, el });
const update = next => { data = next; changed(); return new Promise(done => setTimeout(done, 50)); };
const all = query => [...el.querySelectorAll(query)];
const texts = query => all(query).map(one => one.textContent);
const click = node => node.dispatchEvent(new MouseEvent("click", { bubbles: true }));
const said = {};
STEPS
said.scripts = el.querySelectorAll("script").length + el.querySelectorAll("b b").length;
document.getElementById("out").textContent = JSON.stringify(said);
</script><script type="text/plain" id="code">CODE</script>
<script type="application/json" id="data">DATA</script></body></html>"""


def drive(view: LiveView, steps: str, tmp_path: Path) -> dict[str, Any]:
    """Draw a view, run steps on it and return what they put into ``said``.

    ``scripts`` counts scripts and nested bold text: what the data would leave if it became markup.
    """
    data = json.dumps(dict(view.data)).replace("<", "\\u003c")
    page = _PAGE.replace("STEPS", steps).replace("CODE", module_of(view.view))
    file = tmp_path / "page.html"
    file.write_text(page.replace("DATA", data))
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", file.as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=90).stdout
    text = re.search(r'<pre id="out">(.*?)</pre>', shown, re.S)
    assert text, shown[-2000:]
    assert text[1], shown[-2000:]
    return json.loads(text[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
