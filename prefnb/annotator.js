// The annotator's view. It shows what Python puts into the trait `shown`, and answers with the trait `pressed`; it keeps no
// labels itself. Texts are set as text alone, never as markup.

const KEYS = { ArrowLeft: "left", ArrowRight: "right", ArrowDown: "tie", z: "undo", Z: "undo" };
const BUTTONS = [
  ["left", "left is better", "\u2190 left is better"],
  ["tie", "tie", "\u2193 tie"],
  ["right", "right is better", "right is better \u2192"],
  ["undo", "undo", "Z undo"],
];
const PATIENCE = 3000; // milliseconds after which a choice that nobody has answered may be made again

function element(tag, name, parent, more = {}) {
  const made = document.createElement(tag);
  made.className = name;
  for (const [attribute, value] of Object.entries(more)) made.setAttribute(attribute, value);
  parent.appendChild(made);
  return made;
}

function render({ model, el }) {
  const root = element("div", "prefnb-annotator tex2jax_ignore mathjax_ignore", el, {
    tabindex: "0",
    role: "group",
    "aria-label": "Two answers to one prompt. Left arrow: left is better. Right arrow: right is better. Down arrow: tie. Z: undo.",
    "data-lm-suppress-shortcuts": "true",
  });
  const top = element("div", "top", root);
  const progress = element("span", "progress", top);
  const bar = element("progress", "bar", top, { "aria-hidden": "true" });
  const prompt = element("div", "prompt", root, { dir: "auto" });
  const answers = element("div", "answers", root);
  const sides = {};
  for (const side of ["left", "right"]) {
    const card = element("div", "card", answers);
    element("div", "side", card).textContent = side;
    sides[side] = element("div", `answer ${side}`, card, { dir: "auto", role: "region", "aria-label": `${side} answer` });
  }
  const row = element("div", "buttons", root);
  const buttons = {};
  for (const [choice, label, words] of BUTTONS) {
    buttons[choice] = element("button", choice, row, { type: "button", "aria-label": label });
    buttons[choice].textContent = words;
    buttons[choice].addEventListener("click", () => {
      press(choice);
      root.focus({ preventScroll: true }); // the keys go on working after a click
    });
  }
  const help = element("div", "help", root);
  help.textContent = "Click here once, then use the keys: \u2190 left, \u2192 right, \u2193 tie, Z takes the last one back. Tab leaves.";
  const note = element("div", "note", root, { role: "status", "aria-live": "polite" });

  let since = performance.now(); // when this pair was first seen
  let waiting = null; // the turn that has been answered, until Python shows the next
  let timer = 0;

  function show() {
    const now = model.get("shown");
    const done = now.pair === "";
    clearTimeout(timer);
    waiting = null;
    since = performance.now();
    root.dataset.pair = now.pair;
    root.classList.remove("waiting");
    root.classList.toggle("done", done);
    prompt.textContent = now.prompt;
    sides.left.textContent = now.left;
    sides.right.textContent = now.right;
    for (const choice of ["left", "tie", "right"]) buttons[choice].disabled = done;
    tell();
  }

  function tell() {
    const [made, all] = model.get("count");
    progress.textContent = `${made} of ${all}`;
    bar.max = Math.max(1, all);
    bar.value = made;
    note.textContent = model.get("note");
    buttons.undo.disabled = made === 0;
  }

  function press(choice) {
    const now = model.get("shown");
    if (waiting === now.turn || buttons[choice].disabled) return;
    waiting = now.turn;
    root.classList.add("waiting");
    clearTimeout(timer);
    timer = setTimeout(() => {
      waiting = null;
      note.textContent =
        "Not saved yet: the kernel is busy with another cell, and takes your choice when it is done; or it has stopped. " +
        "Then start it and run this cell again: all labels that were saved are kept.";
    }, PATIENCE);
    model.set("pressed", { turn: now.turn, choice, seconds: (performance.now() - since) / 1000, at: Date.now() });
    model.save_changes();
  }

  root.addEventListener("keydown", (event) => {
    event.stopPropagation(); // nothing typed here is a shortcut of the notebook's: D D would delete the cell
    if (event.ctrlKey || event.metaKey || event.altKey) return; // copying goes on working
    const onButton = event.target.tagName === "BUTTON" && (event.key === "Enter" || event.key === " ");
    if (event.key === "Tab" || onButton) return;
    event.preventDefault(); // the page does not scroll away
    if (KEYS[event.key] && !event.repeat) press(KEYS[event.key]); // a key that is held down is one choice
  });

  model.on("change:shown", show);
  model.on("change:count change:note", tell);
  show();
  return () => {
    clearTimeout(timer);
    model.off("change:shown", show);
    model.off("change:count change:note", tell);
  };
}

export default { render };
