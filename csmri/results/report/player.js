// The cine player: one state, `load` when other images are chosen, `draw` when anything changes.
(() => {
  "use strict";
  const data = csmri.data.player;
  const view = document.getElementById("view");
  if (!data || !view) return;
  const { grey, magma, levels, values, paint } = csmri.images;
  const { width, height } = data;
  const $ = (name) => document.getElementById(name);
  const controls = Object.fromEntries(
    ["play", "frame", "slice", "acceleration", "level", "width", "gain", "speed", "vertical", "box", "reset"].map((name) => [name, $(name)]),
  );
  const panels = [...view.querySelectorAll(".panel")].map((root) => ({
    method: root.dataset.method,
    root,
    ...Object.fromEntries(["image", "error", "time", "line", "box", "now", "nmse", "picture"].map((name) => [name, root.querySelector(`.${name}`)])),
  }));
  const fresh = { level: 50, width: 100, gain: 5, speed: 60, vertical: false, box: true };
  const state = { slice: Math.floor((data.slices.length - 1) / 2), acceleration: 0, frame: 0, playing: false, line: 0, ...fresh };
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const slice = () => data.slices[state.slice];
  const place = () => slice().accelerations[state.acceleration];
  let shown = null; // decoded images of the chosen slice and acceleration
  let phase = 0;
  let turn = 0;

  async function load() {
    const [mine, part, at] = [++turn, slice(), place()];
    const sprites = data.methods.map((method) => at.errors[method.name]);
    const [reference, ...errors] = await Promise.all(
      [part.reference, ...sprites].map((sprite) => levels(sprite, part.frames, height, width)),
    );
    if (mine !== turn) return; // something else was chosen meanwhile
    const truth = values(part.reference);
    shown = { reference: (k) => truth[reference[k]], error: {}, image: {} };
    shown.image.reference = shown.reference;
    data.methods.forEach((method, i) => {
      const [table, error] = [values(sprites[i]), errors[i]];
      shown.error[method.name] = (k) => table[error[k]];
      shown.image[method.name] = (k) => Math.max(truth[reference[k]] + table[error[k]], 0);
    });
    state.frame = clamp(state.frame, 0, part.frames - 1);
    controls.frame.max = part.frames - 1;
    chart();
    settle();
    view.dataset.ready = `${state.slice}/${state.acceleration}`;
  }

  const limit = () => (state.vertical ? width : height) - 1;

  // What changes with a control, but not with every frame.
  function settle() {
    if (!shown) return;
    const [part, black, white] = [slice(), (state.level - state.width / 2) / 100, (state.level + state.width / 2) / 100];
    state.line = clamp(state.line, 0, limit());
    const share = `${((state.line + 0.5) / (limit() + 1)) * 100}%`;
    for (const panel of panels) {
      const value = shown.image[panel.method];
      const frames = part.frames;
      if (state.vertical) {
        paint(panel.time, 2 * frames, height, grey, black, white, (i) => {
          const y = Math.floor(i / (2 * frames));
          return value(((i % frames) * height + y) * width + state.line);
        });
      } else {
        paint(panel.time, width, 2 * frames, grey, black, white, (i) => {
          const t = Math.floor(i / width) % frames;
          return value((t * height + state.line) * width + (i % width));
        });
      }
      panel.line.className = `line ${state.vertical ? "upright" : "across"}`;
      panel.line.style.left = state.vertical ? share : "";
      panel.line.style.top = state.vertical ? "" : share;
      const [y, x, h, w] = part.box;
      Object.assign(panel.box.style, { top: `${(y / height) * 100}%`, left: `${(x / width) * 100}%`, height: `${(h / height) * 100}%`, width: `${(w / width) * 100}%` });
      panel.box.hidden = !state.box;
    }
    const slider = panels[0].line;
    slider.setAttribute("aria-valuemax", limit());
    slider.setAttribute("aria-valuenow", state.line);
    slider.setAttribute("aria-valuetext", `${state.vertical ? "column" : "row"} ${state.line + 1} of ${limit() + 1}`);
    slider.setAttribute("aria-orientation", state.vertical ? "horizontal" : "vertical");
    const texts = { level: `${state.level} %`, width: `${state.width} %`, gain: `× ${state.gain}`, speed: `${state.speed} /min` };
    for (const [name, text] of Object.entries(texts)) $(`${name}-text`).textContent = text;
    for (const name of Object.keys(texts)) controls[name].value = state[name];
    controls.vertical.checked = state.vertical;
    controls.box.checked = state.box;
    controls.slice.value = state.slice;
    for (const input of controls.acceleration.querySelectorAll("input")) input.checked = Number(input.value) === state.acceleration;
    $("subject").textContent = `${part.subject}, slice ${part.slice}, R = ${place().value}`;
    $("scale-end").textContent = `${+(100 / state.gain).toPrecision(3)}`;
    draw();
  }

  const thousandths = (value) => (value === null || value === undefined ? "–" : (1e3 * value).toPrecision(3));
  const mean = (numbers) => {
    const finite = numbers.filter((number) => number !== null);
    return finite.length ? finite.reduce((a, b) => a + b, 0) / finite.length : null;
  };

  function draw() {
    if (!shown) return;
    const [part, size] = [slice(), width * height];
    const [black, white] = [(state.level - state.width / 2) / 100, (state.level + state.width / 2) / 100];
    const first = state.frame * size;
    for (const panel of panels) {
      const value = shown.image[panel.method];
      paint(panel.image, width, height, grey, black, white, (i) => value(first + i));
      if (panel.error) {
        const error = shown.error[panel.method];
        paint(panel.error, width, height, magma, 0, 1 / state.gain, (i) => Math.abs(error(first + i)));
        const numbers = place().nmse[panel.method];
        panel.nmse.firstChild.textContent = `NMSE ${thousandths(numbers[state.frame])}`;
        panel.nmse.lastChild.textContent = `mean ${thousandths(mean(numbers))}`;
      } else panel.nmse.textContent = "NMSE × 10³, heart box";
      const share = `${((state.frame + 0.5) / (2 * part.frames)) * 100}%`;
      Object.assign(panel.now.style, state.vertical ? { left: share, top: 0, width: "1px", height: "100%" } : { left: 0, top: share, width: "100%", height: "1px" });
    }
    controls.frame.value = state.frame;
    $("frame-text").textContent = `${state.frame + 1} of ${part.frames}`;
    controls.frame.setAttribute("aria-valuetext", $("frame-text").textContent);
    const marker = $("beat").querySelector("line");
    const x = part.frames > 1 ? (100 * state.frame) / (part.frames - 1) : 50;
    marker.setAttribute("x1", x);
    marker.setAttribute("x2", x);
  }

  // NMSE over the beat, one line a method.
  function chart() {
    const frames = slice().frames;
    const numbers = data.methods.map((method) => place().nmse[method.name]);
    const top = Math.max(...numbers.flat().filter((number) => number !== null), 1e-9);
    const lines = numbers.map((some, i) => {
      const points = some.map((number, t) => (number === null ? "" : `${frames > 1 ? (100 * t) / (frames - 1) : 50},${100 - (100 * number) / top}`));
      return `<polyline class="${data.methods[i].colour}" points="${points.join(" ")}"/>`;
    });
    $("beat").innerHTML = `${lines.join("")}<line y1="0" y2="100"/>`;
    $("nmse-top").textContent = numbers.length ? `0 – ${thousandths(top)}` : "";
  }

  function tell() {
    if (state.playing) return;
    $("live").textContent = `Frame ${state.frame + 1} of ${slice().frames}, slice ${slice().slice}, R = ${place().value}`;
  }

  function play(on) {
    state.playing = on;
    view.classList.toggle("playing", on);
    controls.play.setAttribute("aria-label", on ? "Pause" : "Play");
    if (on) requestAnimationFrame(start);
    else tell();
  }

  let last = 0;
  function start(now) {
    last = now;
    phase = state.frame;
    requestAnimationFrame(tick);
  }

  function tick(now) {
    if (!state.playing) return;
    const frames = slice().frames;
    // No more than a quarter second at once: a tab that was hidden goes on where it was.
    phase = (phase + (Math.min(now - last, 250) / 60000) * state.speed * frames) % frames;
    last = now;
    if (Math.floor(phase) !== state.frame) {
      state.frame = Math.floor(phase);
      draw();
    }
    requestAnimationFrame(tick);
  }

  function step(by) {
    if (state.playing) play(false);
    state.frame = (state.frame + by + slice().frames) % slice().frames;
    draw();
    tell();
  }

  function choose(sliceIndex, acceleration) {
    const value = place().value;
    if (sliceIndex !== state.slice) {
      state.slice = clamp(sliceIndex, 0, data.slices.length - 1);
      offer();
      acceleration = Math.max(slice().accelerations.findIndex((one) => one.value === value), 0);
    }
    state.acceleration = clamp(acceleration, 0, slice().accelerations.length - 1);
    load().then(tell);
  }

  // Accelerations may differ from slice to slice.
  function offer() {
    const field = controls.acceleration;
    field.querySelectorAll("label").forEach((label) => label.remove());
    slice().accelerations.forEach((one, i) => {
      const [label, input, text] = ["label", "input", "span"].map((name) => document.createElement(name));
      Object.assign(input, { type: "radio", name: "acceleration", value: i });
      text.textContent = one.value;
      label.append(input, text);
      field.append(label);
    });
  }

  function move(to) {
    state.line = clamp(Math.round(to), 0, limit());
    settle();
  }

  function drag(event, panel) {
    const frame = panel.picture.getBoundingClientRect();
    const share = state.vertical ? (event.clientX - frame.left) / frame.width : (event.clientY - frame.top) / frame.height;
    move(share * (limit() + 1) - 0.5);
  }

  for (const panel of panels) {
    panel.picture.addEventListener("pointerdown", (event) => {
      // Elsewhere than on the line a finger scrolls the page.
      if (event.button || (event.pointerType === "touch" && event.target !== panel.line)) return;
      panel.picture.setPointerCapture(event.pointerId);
      drag(event, panel);
    });
    panel.picture.addEventListener("pointermove", (event) => {
      if (panel.picture.hasPointerCapture(event.pointerId)) drag(event, panel);
    });
  }

  panels[0].line.addEventListener("keydown", (event) => {
    const near = state.vertical ? { ArrowLeft: -1, ArrowRight: 1 } : { ArrowUp: -1, ArrowDown: 1 };
    const by = { ...near, PageUp: -10, PageDown: 10, Home: -1e6, End: 1e6 }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    move(state.line + by);
  });

  controls.play.addEventListener("click", () => play(!state.playing));
  controls.frame.addEventListener("input", () => step(Number(controls.frame.value) - state.frame));
  controls.slice.addEventListener("change", () => choose(Number(controls.slice.value), state.acceleration));
  controls.acceleration.addEventListener("change", (event) => choose(state.slice, Number(event.target.value)));
  for (const name of ["level", "width", "gain", "speed"]) {
    controls[name].addEventListener("input", () => {
      state[name] = Number(controls[name].value);
      settle();
    });
  }
  function turnLine(upright) {
    const share = (state.line + 0.5) / (limit() + 1);
    state.vertical = upright;
    move(share * (limit() + 1) - 0.5);
  }
  function toggleBox() {
    state.box = !state.box;
    settle();
  }
  controls.vertical.addEventListener("change", () => turnLine(controls.vertical.checked));
  controls.box.addEventListener("change", toggleBox);
  controls.reset.addEventListener("click", () => {
    Object.assign(state, fresh);
    centre();
    settle();
  });

  const keys = {
    " ": () => play(!state.playing),
    ArrowLeft: () => step(-1),
    ArrowRight: () => step(1),
    ArrowUp: () => choose(state.slice - 1, state.acceleration),
    ArrowDown: () => choose(state.slice + 1, state.acceleration),
    "[": () => choose(state.slice, state.acceleration - 1),
    "]": () => choose(state.slice, state.acceleration + 1),
    v: () => turnLine(!state.vertical),
    b: toggleBox,
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const [target, key] = [event.target, event.key];
    const inside = view.contains(target);
    // Up and down scroll the page unless the player has the focus; elsewhere keys belong to what is focused.
    if (!inside && (target !== document.body || key === "ArrowUp" || key === "ArrowDown")) return;
    const area = view.getBoundingClientRect();
    if (!inside && (area.bottom < 0 || area.top > innerHeight)) return;
    if (target.matches("select, summary, a") || (key === " " && target.matches("button, input:not([type=range])"))) return;
    if (key.startsWith("Arrow") && target.matches("input")) return;
    const digit = slice().accelerations.findIndex((one) => String(one.value) === key);
    const act = keys[key] || (digit >= 0 ? () => choose(state.slice, digit) : null);
    if (!act) return;
    event.preventDefault();
    act();
  });

  function centre() {
    const [y, x, h, w] = slice().box;
    state.line = clamp(state.vertical ? x + (w >> 1) : y + (h >> 1), 0, limit());
  }

  data.slices.forEach((one, i) => {
    const option = document.createElement("option");
    option.value = i;
    option.textContent = `${one.subject} · ${one.slice}`;
    controls.slice.append(option);
  });
  state.acceleration = slice().accelerations.length - 1;
  offer();
  centre();
  paint($("scale"), 128, 1, magma, 0, 1, (i) => i / 127);
  view.hidden = false;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  load().then(() => play(!still));
})();
