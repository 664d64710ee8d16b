// A formula whose numbers can be dragged sideways, or moved with the arrow keys once they have the focus.
const PIXELS = 6; // of dragging for one step

function render({ model, el }) {
  el.innerHTML = model.get("mathml");
  const numbers = [...el.querySelectorAll("[data-name]")];

  function write() {
    const values = model.get("values");
    for (const one of numbers) {
      const value = values[one.dataset.name];
      one.textContent = (value < 0 ? "\u2212" : "") + Math.abs(value).toFixed(places(one));
      one.setAttribute("aria-valuenow", value);
    }
  }

  const range = (one) => model.get("ranges")[one.dataset.name];
  const places = (one) => (String(range(one)[2]).split(".")[1] || "").length;

  function set(one, wanted) {
    const [low, high, step] = range(one);
    const stepped = low + Math.round((wanted - low) / step) * step;
    const value = Number(Math.min(high, Math.max(low, stepped)).toFixed(places(one)));
    const values = model.get("values");
    if (values[one.dataset.name] === value) return;
    model.set("values", { ...values, [one.dataset.name]: value });
    model.save_changes();
    write();
  }

  for (const one of numbers) {
    const [low, high, step] = range(one);
    one.setAttribute("role", "slider");
    one.setAttribute("tabindex", "0");
    one.setAttribute("aria-label", one.dataset.name);
    one.setAttribute("aria-valuemin", low);
    one.setAttribute("aria-valuemax", high);
    one.setAttribute("title", one.dataset.name + ": drag sideways, or press an arrow key");
    one.addEventListener("pointerdown", (event) => {
      const start = { x: event.clientX, value: model.get("values")[one.dataset.name] };
      const move = (now) => set(one, start.value + Math.round((now.clientX - start.x) / PIXELS) * step);
      const end = () => {
        one.removeEventListener("pointermove", move);
        one.removeEventListener("pointerup", end);
        one.removeEventListener("pointercancel", end);
      };
      one.setPointerCapture(event.pointerId);
      one.addEventListener("pointermove", move);
      one.addEventListener("pointerup", end);
      one.addEventListener("pointercancel", end);
      one.focus();
      event.preventDefault();
    });
    one.addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
      if (!by) return;
      event.preventDefault();
      event.stopPropagation(); // JupyterLab moves between cells with these
      set(one, model.get("values")[one.dataset.name] + by * step);
    });
  }
  write();
  model.on("change:values", write);
  return () => model.off("change:values", write);
}

export default { render };
