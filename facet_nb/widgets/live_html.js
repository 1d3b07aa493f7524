// HTML that the kernel writes: what is the same stays in the page, with its focus and its state.
// Elements with data-act tell the kernel what was pressed or changed; data-key names their key.
const SEND_MS = 120, CHUNK = 1_000_000, PATIENCE_MS = 60_000;

function morph(old, fresh) {
  const a = [...old.childNodes], b = [...fresh.childNodes];
  b.forEach((next, i) => {
    const now = a[i];
    if (!now) old.append(next.cloneNode(true));
    else if (now.nodeName !== next.nodeName) now.replaceWith(next.cloneNode(true));
    else if (now.nodeType !== Node.ELEMENT_NODE) { if (now.data !== next.data) now.data = next.data; }
    else {
      for (const { name } of [...now.attributes])
        if (!next.hasAttribute(name) && !(name === "open" && now.nodeName === "DETAILS")) now.removeAttribute(name);
      for (const { name, value } of next.attributes) if (now.getAttribute(name) !== value) now.setAttribute(name, value);
      if (now.nodeName === "INPUT" && now.type !== "file" && now !== document.activeElement) {
        now.value = next.getAttribute("value") ?? "";
        now.checked = next.hasAttribute("checked");
      }
      if (now.nodeName === "SELECT" && now !== document.activeElement) { morph(now, next); now.value = next.value; }
      else morph(now, next);
    }
  });
  a.slice(b.length).forEach(node => node.remove());
}

export default {
  render({ model, el }) {
    const root = document.createElement("div");
    root.className = "fnb-live";
    root.tabIndex = -1;
    el.append(root);
    let later = 0, studio = null, tries = 0, waiting = 0;
    const draw = () => {
      const fresh = document.createElement("template");
      fresh.innerHTML = model.get("html");
      const had = root.contains(document.activeElement);
      morph(root, fresh.content);
      const now = document.activeElement; // what had the focus may be gone: keys stay in the studio
      if (had && (!root.contains(now) || now.disabled)) root.focus({ preventScroll: true });
    };
    const tell = node => {
      const value = node.type === "checkbox" ? node.checked : node.dataset.value ?? node.value ?? "";
      try { model.send({ act: node.dataset.act, name: node.name || node.dataset.name || "", value }); } catch { /* no kernel: Panel says so */ }
    };
    // Files go in pieces, each after the answer to the one before: a busy kernel is never flooded.
    let answered = null;
    const hear = message => { if (message.kind === "answer") answered?.(message.done); };
    const ask = (content, buffers) => new Promise(resolve => {
      const late = setTimeout(() => resolve(false), PATIENCE_MS);
      answered = done => { clearTimeout(late); answered = null; resolve(done); };
      try { model.send(content, undefined, buffers); } catch { answered(false); }
    });
    const upload = async files => {
      if (answered || !files.length || !await ask({ act: "upload_begin", value: files.map(f => [f.name, f.size]) })) return;
      for (const file of files) for (let at = 0; at < file.size || at === 0; at += CHUNK) {
        const piece = await file.slice(at, at + CHUNK).arrayBuffer();
        if (!await ask({ act: "upload_chunk", name: file.name }, [piece])) { ask({ act: "upload_stop" }); return; }
      }
    };
    model.on("msg:custom", hear);
    root.addEventListener("change", e => { if (e.target.matches("[data-upload]")) { upload([...e.target.files]); e.target.value = ""; } });
    for (const kind of ["dragover", "drop"]) root.addEventListener(kind, e => {
      const place = e.target.closest("[data-drop]");
      if (!place || !e.dataTransfer?.types.includes("Files")) return;
      e.preventDefault(); e.stopPropagation(); // the notebook would upload them itself
      if (kind === "drop") upload([...e.dataTransfer.files]);
    });
    const field = node => node.matches("input, select, textarea");
    root.addEventListener("click", e => {
      const node = e.target.closest("[data-act], [data-copy]");
      if (!node || field(node) || node.disabled) return;
      if (node.dataset.copy) {
        const text = root.querySelector(node.dataset.copy)?.textContent ?? "";
        navigator.clipboard?.writeText(text).then(() => { node.textContent = "Copied"; });
      } else tell(node);
    });
    root.addEventListener("change", e => { if (e.target.matches("[data-act]")) { clearTimeout(later); tell(e.target); } });
    root.addEventListener("input", e => {
      if (!e.target.matches("input[type=range][data-act]")) return;
      clearTimeout(later);
      later = setTimeout(() => tell(e.target), SEND_MS);
    });
    root.addEventListener("keydown", e => {
      const node = e.target, group = node.closest("[role=radiogroup], [data-arrows]");
      if (e.key === "Enter" && node.matches("input")) { node.blur(); e.stopPropagation(); return; }
      if ((e.key === "Enter" || e.key === " ") && node.matches("g[role=button], svg[role=button]")) {
        tell(node); e.preventDefault(); e.stopPropagation(); return;
      }
      const way = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[e.key];
      if (!group || !way || field(node)) return;
      const all = [...group.querySelectorAll("[data-act]:not(:disabled)")];
      const next = all[(all.indexOf(node) + way + all.length) % all.length];
      next?.focus();
      if (next?.getAttribute("role") === "radio") tell(next);
      e.preventDefault(); e.stopPropagation();
    });
    // Single keys act while the focus is inside the studio, and not in a field.
    const press = e => {
      if (e.ctrlKey || e.metaKey || e.altKey || e.target.matches("input, select, textarea, [contenteditable]")) return;
      const key = e.key.length === 1 ? e.key.toLowerCase() : e.key;
      const node = root.querySelector(`[data-key="${CSS.escape(key)}"]:not(:disabled)`);
      if (!node) return;
      e.preventDefault(); e.stopPropagation();
      node.click();
    };
    const attach = () => {
      studio = root.closest(".fnb-studio");
      if (studio) studio.addEventListener("keydown", press);
      else if (tries++ < 50) waiting = setTimeout(attach, 100);
    };
    model.on("change:html", draw);
    draw();
    attach();
    return () => {
      model.off("change:html", draw);
      model.off("msg:custom", hear);
      clearTimeout(later); clearTimeout(waiting);
      studio?.removeEventListener("keydown", press);
    };
  },
};
