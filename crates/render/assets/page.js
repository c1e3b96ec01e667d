// Draws what the page's JSON block says: treemap, owners table, chart over time; sorts tables.
// No libraries, no requests. Foreign text is only ever set as textContent or an attribute value.
(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const html = document.documentElement;
  html.classList.add("js");

  // Okabe-Ito and Tol colours, told apart with any colour vision; labels say the same in words.
  const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b5a642",
    "#6a4c93", "#44aa99", "#a0522d"];
  const REST = "#8b9198", UNOWNED = "#c3c7cb";
  const CLASSES = { stay: "must stay", swap: "swap only", writeback: "after write-back", drop: "droppable now" };
  const MEASURES = ["RSS", "distinct pages", "PSS", "private"];
  const TILES_MAX = 60;
  const state = { index: data.pick, path: [], measure: data.measures[0], byClass: false, sort: null, descending: true, open: new Set() };

  function bytes(value) {
    if (value < 1024) return `${value} B`;
    const units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let unit = 0;
    for (value /= 1024; value >= 999.5 && unit < 5; unit += 1) value /= 1024;
    return `${value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0)} ${units[unit]}`;
  }
  function time(seconds) {
    if (seconds < 59.95) return `${seconds.toFixed(seconds < 9.995 && seconds > 0 ? 2 : seconds === 0 ? 0 : 1)} s`;
    const whole = Math.round(seconds), minutes = Math.floor(whole / 60) % 60;
    if (whole < 3600) return `${minutes} min ${whole % 60} s`;
    if (whole < 86400) return `${Math.floor(whole / 3600)} h ${minutes} min`;
    return `${Math.floor(whole / 86400)} d ${Math.floor(whole / 3600) % 24} h`;
  }
  function share(part, whole) {
    const percent = whole ? part / whole * 100 : 0;
    if (part > 0 && percent < 0.5) return "<1%";
    return part < whole && percent > 99 ? ">99%" : `${percent.toFixed(0)}%`;
  }
  function make(tag, attributes, ...children) {
    const svg = ["svg", "path", "line", "text", "rect", "g", "polygon", "title"].includes(tag);
    const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value !== false && value !== null) element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children);
    return element;
  }
  const sum = (items, figure) => items.reduce((total, item) => total + figure(item), 0);

  // One colour per owner for the whole page: the largest ever get their own.
  const colours = new Map();
  (() => {
    const most = new Map();
    for (const breakdown of data.breakdowns) {
      for (const c of breakdown.components) {
        if (c.k !== "unattributed") most.set(c.n, Math.max(most.get(c.n) || 0, c.u[0]));
      }
    }
    [...most].sort((a, b) => b[1] - a[1]).slice(0, COLOURS.length)
      .forEach(([name], place) => colours.set(name, COLOURS[place]));
  })();
  const ownerColour = (c) => c.k === "unattributed" ? UNOWNED : colours.get(c.n) || REST;
  function ink(colour) {
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16) / 255);
    return 0.2126 * r ** 2.2 + 0.7152 * g ** 2.2 + 0.0722 * b ** 2.2 > 0.2 ? "#111" : "#fff";
  }
  const classColour = (name) => getComputedStyle(html).getPropertyValue(`--${name}`).trim();

  // Squarified treemap (Bruls, Huizing, van Wijk 2000): rows along the shorter side.
  function squarify(items, x, y, w, h) {
    const tiles = [], total = sum(items, (item) => item.value);
    let left = items.map((item) => ({ item, area: item.value / total * w * h })), row = [];
    const worst = (cells, side) => {
      const all = sum(cells, (cell) => cell.area);
      return Math.max(...cells.map((c) => Math.max(side * side * c.area / all ** 2, all ** 2 / (side * side * c.area))));
    };
    const lay = () => {
      const all = sum(row, (cell) => cell.area), tall = w >= h;
      const thick = tall ? all / h : all / w;
      let at = tall ? y : x;
      for (const cell of row) {
        const long = cell.area / thick;
        tiles.push(tall ? { item: cell.item, x, y: at, w: thick, h: long } : { item: cell.item, x: at, y, w: long, h: thick });
        at += long;
      }
      if (tall) { x += thick; w -= thick; } else { y += thick; h -= thick; }
      row = [];
    };
    while (left.length) {
      const side = Math.min(w, h);
      if (!row.length || worst([...row, left[0]], side) <= worst(row, side)) row.push(left.shift());
      else lay();
    }
    if (row.length) lay();
    return tiles;
  }

  // Components of the picked breakdown at the opened path; a path that is not there is cut.
  function opened() {
    let components = data.breakdowns[state.index].components, owner = null;
    const trail = [];
    for (const name of state.path) {
      const next = components.find((c) => c.n === name && c.p.length);
      if (!next) break;
      trail.push(next);
      owner = owner || next;
      components = next.p;
    }
    state.path.length = trail.length;
    return { components, owner, trail };
  }
  function mapItems(components, limit) {
    const figure = (c) => c.u[state.measure];
    const items = components.filter((c) => figure(c) > 0).map((c) => ({ value: figure(c), c })).sort((a, b) => b.value - a.value);
    if (items.length <= limit) return items;
    const rest = items.splice(limit - 1);
    items.push({ value: sum(rest, (item) => item.value), rest: rest.length });
    return items;
  }
  function describe(c, shown) {
    const lines = [`${c.n} (${c.k}), ${share(c.u[state.measure], shown)} of what is shown`, `RSS ${bytes(c.u[0])}; PSS ${c.m}${bytes(c.u[2])}; private ${bytes(c.u[3])}`];
    lines.push(Object.values(CLASSES).map((words, at) => [words, c.r[at]]).filter(([, value]) => value > 0).map(([words, value]) => `${words} ${bytes(value)}`).join(", "));
    if (c.w) lines.push(c.w);
    return lines.filter(Boolean).join("\n");
  }
  function percentBox(tile, w, h) {
    const p = (value, whole) => `${(value / whole * 100).toFixed(3)}%`;
    return `left:${p(tile.x, w)};top:${p(tile.y, h)};width:${p(tile.w, w)};height:${p(tile.h, h)};`;
  }

  const treemap = document.getElementById("treemap");
  function drawTreemap(focus) {
    const { components, owner, trail } = opened();
    const crumbs = make("nav", { class: "crumbs", "aria-label": "Opened owner" });
    [data.all, ...state.path].forEach((name, depth, names) => {
      if (depth) crumbs.append(" \u203a ");
      if (depth === names.length - 1) crumbs.append(make("b", {}, name));
      else crumbs.append(make("button", { type: "button", onclick: () => { state.path.length = depth; drawTreemap(true); } }, name));
    });
    const shown = trail.length ? trail[trail.length - 1].u[state.measure] : sum(components, (c) => c.u[state.measure]);
    crumbs.append(` ${bytes(shown)}`);
    const map = make("div", { class: "map", role: "group", "aria-label": "Treemap of owners; Escape goes up",
      onkeydown: (event) => { if (event.key === "Escape" && state.path.length) { state.path.pop(); drawTreemap(true); } } });
    const size = make("select", { "aria-label": "Size of tiles", onchange: (event) => { state.measure = Number(event.target.value); drawTreemap(); } },
      ...data.measures.map((value) => make("option", { value, selected: value === state.measure }, `size: ${MEASURES[value]}`)));
    const colour = make("select", { "aria-label": "Colour of tiles", onchange: (event) => { state.byClass = event.target.value === "1"; drawTreemap(); } },
      ...["owner", "take back"].map((words, value) => make("option", { value, selected: Boolean(value) === state.byClass }, `colour: ${words}`)));
    treemap.replaceChildren(make("div", { class: "tools" }, crumbs, size, colour), map);
    const w = map.clientWidth || 800, h = map.clientHeight || 400;
    for (const tile of squarify(mapItems(components, TILES_MAX), 0, 0, w, h)) {
      map.append(drawTile(tile, w, h, owner, shown));
    }
    if (focus) (map.querySelector("button") || crumbs.querySelector("button"))?.focus();
  }
  function drawTile(tile, w, h, owner, shown) {
    const { c, rest, value } = tile.item;
    const opens = Boolean(c && c.p.length);
    const back = !c ? REST : state.byClass ? classColour(c.c) : ownerColour(owner || c);
    const words = c ? describe(c, shown) : `${rest} smaller: ${bytes(value)}`;
    const button = make("button", { type: "button", class: `tile${opens ? " opens" : ""}${tile.w > 220 && tile.h > 110 ? " big" : ""}`, title: words, "aria-label": words,
      style: `${percentBox(tile, w, h)}background:${back};color:${ink(back)}`,
      onclick: () => { if (opens) { state.path.push(c.n); drawTreemap(true); } } });
    if (tile.w > 46 && tile.h > 18) button.append(make("b", {}, c ? c.n.replace(/^\/.*\/(?=.)/, "") : `${rest} smaller`));
    const inner = opens && tile.w > 110 && tile.h > 90;
    if (tile.w > 46 && tile.h > 38) button.append(make("span", {}, tile.w > 110 ? `${bytes(value)} \u00b7 ${share(value, shown)}` : bytes(value)));
    if (inner) {
      const top = tile.w > 220 && tile.h > 110 ? 54 : 42, parts = squarify(mapItems(c.p, 16), 4, top, tile.w - 10, tile.h - top - 6);
      for (const part of parts) {
        const label = part.w > 60 && part.h > 16 ? [make("b", {}, part.item.c ? part.item.c.n.replace(/^\/.*\/(?=.)/, "") : `${part.item.rest} smaller`)] : [];
        button.append(make("span", { class: "tile", style: percentBox(part, tile.w, tile.h) }, ...label));
      }
    }
    return button;
  }

  const table = document.getElementById("components");
  function sorted(components) {
    if (state.sort === null) return components;
    const key = (c) => state.sort === "n" ? c.n : state.sort === "c" ? Object.keys(CLASSES).indexOf(c.c) : c.u[Number(state.sort)];
    const sign = state.descending ? -1 : 1;
    return [...components].sort((a, b) => sign * (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0));
  }
  function drawTable() {
    const components = data.breakdowns[state.index].components;
    const whole = sum(components, (c) => c.u[0]);
    const body = table.tBodies[0], rows = [];
    const add = (c, depth, path, owner) => {
      const id = `${path}\u0000${c.n}`, open = state.open.has(id);
      const name = make("th", { scope: "row", style: `--depth:${depth}` });
      if (c.p.length) {
        name.append(make("button", { type: "button", class: "fold", "aria-expanded": String(open), "aria-label": `parts of ${c.n}`,
          onclick: () => {
            if (open) state.open.delete(id); else state.open.add(id);
            const place = [...body.querySelectorAll(".fold")].indexOf(document.activeElement);
            drawTable();
            body.querySelectorAll(".fold")[place]?.focus();
          } }, open ? "\u25be" : "\u25b8"));
      }
      name.append(c.n);
      if (c.w) name.append(make("small", {}, c.w));
      const bar = make("span", { class: "share", "aria-hidden": "true" }, make("span", { style: `width:${whole ? c.u[0] / whole * 100 : 0}%;background:${ownerColour(owner)}` }));
      const figure = (...text) => make("td", { class: "n" }, ...text);
      rows.push(make("tr", {}, name, figure(bytes(c.u[0])), figure(bar, share(c.u[0], whole)), figure(c.m + bytes(c.u[2])), figure(bytes(c.u[3])),
        figure(bytes(c.u[4])), figure(bytes(c.u[5])), make("td", {}, make("i", { class: c.c }), CLASSES[c.c])));
      if (open) for (const part of sorted(c.p)) add(part, depth + 1, id, owner);
    };
    for (const c of sorted(components)) add(c, 0, "", c);
    body.replaceChildren(...rows);
    const cells = table.tFoot.rows[0].cells;
    [[1, 0], [3, 2], [4, 3], [5, 4], [6, 5]].forEach(([cell, figure]) => { cells[cell].textContent = bytes(sum(components, (c) => c.u[figure])); });
  }
  function headButton(head, sort) {
    const words = [...head.childNodes];
    head.replaceChildren(make("button", { type: "button", onclick: () => {
      const descending = head.getAttribute("aria-sort") !== "descending";
      for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      sort(descending);
    } }, ...words));
  }
  function sortable(plain) {
    [...plain.tHead.rows[0].cells].forEach((head, column) => headButton(head, (descending) => {
      const key = (row) => { const cell = row.cells[column]; return "v" in cell.dataset ? Number(cell.dataset.v) : cell.textContent; };
      const sign = descending ? -1 : 1;
      plain.tBodies[0].append(...[...plain.tBodies[0].rows].sort((a, b) => sign * (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0)));
    }));
  }

  const chart = document.getElementById("chart");
  function steps(top, about, bases) {
    const raw = top / about;
    return bases.find((base) => base >= raw) || bases[bases.length - 1] * Math.ceil(raw / bases[bases.length - 1]);
  }
  function layers() {
    const names = [...colours.keys()];
    const figure = (breakdown, name) => sum(breakdown.components.filter((c) => c.n === name), (c) => c.u[0]);
    const all = names.map((name) => ({ name, colour: colours.get(name), values: data.breakdowns.map((b) => figure(b, name)) }));
    const left = (unowned) => data.breakdowns.map((b) => sum(b.components.filter((c) => !colours.has(c.n) && (c.k === "unattributed") === unowned), (c) => c.u[0]));
    all.push({ name: "smaller owners", colour: REST, values: left(false) });
    const shown = all.filter((layer) => layer.values.some((value) => value > 0));
    // What nobody owns is always named, also when it is nothing.
    return [...shown, { name: "unattributed", colour: UNOWNED, values: left(true) }];
  }
  // Borders of stages with their labels, and each one's peak as a bar across it. A label that has
  // no room is in the title of its bar.
  function drawStages(svg, x, y, top, bottom) {
    for (const [start, end, label, peak] of data.stages) {
      const from = x(start), to = Math.max(x(end), from + 1), words = `${label}: ${time(start)} to ${time(end)}, peak ${bytes(peak)}`;
      svg.append(make("line", { class: "stage", x1: from, x2: from, y1: top, y2: bottom }, make("title", {}, words)),
        make("line", { class: "stage-peak", x1: from, x2: to, y1: y(peak), y2: y(peak) }, make("title", {}, words)));
      const room = Math.floor((to - from - 6) / 7);
      if (room >= 3) svg.append(make("text", { class: "stage-label", x: from + 4, y: top + 11 }, label.length > room ? `${label.slice(0, room - 1)}\u2026` : label, make("title", {}, words)));
    }
  }
  let moved = null;
  function drawChart() {
    const w = Math.max(chart.clientWidth, 280), h = Math.max(220, Math.min(340, w * 0.45)), left = 62, right = 8, top = 24, bottom = 34;
    const all = layers(), length = data.length || 1;
    const highest = Math.max(1, ...data.outline.map((point) => point[1]), ...data.breakdowns.map((b) => sum(b.components, (c) => c.u[0])), ...data.stages.map((stage) => stage[3]));
    const x = (at) => left + at / length * (w - left - right), y = (value) => top + (1 - value / (highest * 1.04)) * (h - top - bottom);
    const svg = make("svg", { viewBox: `0 0 ${w} ${h}`, height: h, role: "img", "aria-label": `RSS by owner over time, highest ${bytes(highest)}. The slider below picks a time.` });
    const powers = Array.from({ length: 60 }, (_, power) => 2 ** power);
    for (let value = 0, step = steps(highest, 5, powers); value <= highest * 1.02; value += step) {
      svg.append(make("line", { class: "grid", x1: left, x2: w - right, y1: y(value), y2: y(value) }), make("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, bytes(value)));
    }
    for (let at = 0, step = steps(length, w > 600 ? 8 : 4, [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400]); at <= length * 1.001; at += step) {
      svg.append(make("text", { x: Math.min(x(at), w - right - 14), y: h - 6, "text-anchor": "middle" }, time(Math.round(at * 10) / 10).replace(/ 0 s$/, "")));
    }
    const base = data.breakdowns.map(() => 0), times = data.breakdowns.map((b) => x(b.at));
    for (const layer of all) {
      const low = base.map((value, at) => `${times[at].toFixed(1)},${y(value).toFixed(1)}`);
      layer.values.forEach((value, at) => { base[at] += value; });
      const high = base.map((value, at) => `${times[at].toFixed(1)},${y(value).toFixed(1)}`);
      svg.append(make("polygon", { points: [...high, ...low.reverse()].join(" "), fill: layer.colour, "fill-opacity": 0.88 }, make("title", {}, layer.name)));
    }
    for (const at of times) svg.append(make("line", { class: "tick", x1: at, x2: at, y1: h - bottom, y2: h - bottom + 5 }));
    if (data.outline.length) svg.append(make("path", { class: "outline", d: data.outline.map(([at, value], n) => `${n ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`).join("") }));
    for (const [at, words] of data.events) {
      svg.append(make("polygon", { class: "event", points: `${x(at) - 4},${h - bottom + 12} ${x(at) + 4},${h - bottom + 12} ${x(at)},${h - bottom + 4}` }, make("title", {}, `${time(at)}: ${words}`)));
    }
    drawStages(svg, x, y, top, h - bottom);
    if (data.peak) {
      const at = x(data.peak[0]), end = at > w / 2;
      svg.append(make("line", { class: "peak", x1: at, x2: at, y1: top - 6, y2: h - bottom }), make("text", { class: "mark", x: at + (end ? -6 : 6), y: top - 8, "text-anchor": end ? "end" : "start" }, `peak ${bytes(data.peak[1])} at ${time(data.peak[0])}`));
    }
    if (!data.breakdowns.length) { chart.replaceChildren(svg); return; }
    const now = make("line", { class: "now", y1: top, y2: h - bottom });
    svg.append(now);
    // The slider runs over time, so that its thumb stays under the chart; keys step breakdowns.
    const slider = make("input", { type: "range", min: 0, max: length, step: "any", "aria-label": "Time of the breakdown shown below",
      style: `width:${w - left - right + 16}px;margin-left:${left - 8}px`, oninput: () => pick(nearest(Number(slider.value))), onchange: () => moved(),
      onkeydown: (event) => {
        const last = data.breakdowns.length - 1, i = state.index;
        const to = { ArrowLeft: i - 1, ArrowDown: i - 1, ArrowRight: i + 1, ArrowUp: i + 1, PageDown: i - 10, PageUp: i + 10, Home: 0, End: last }[event.key];
        if (to === undefined) return;
        event.preventDefault();
        pick(Math.min(last, Math.max(0, to)));
      } });
    const output = make("output"), legend = make("ul", { class: "legend" });
    moved = () => {
      const at = data.breakdowns[state.index].at;
      now.setAttribute("x1", x(at)); now.setAttribute("x2", x(at));
      slider.value = at;
      slider.setAttribute("aria-valuetext", time(at));
      output.textContent = `at ${time(at)}: ${bytes(sum(data.breakdowns[state.index].components, (c) => c.u[0]))}`;
      legend.replaceChildren(...all.map((layer) => make("li", {}, make("i", { style: `background:${layer.colour}` }), `${layer.name} `, make("b", {}, bytes(layer.values[state.index])))));
    };
    const choose = (event) => {
      const box = svg.getBoundingClientRect();
      pick(nearest(((event.clientX - box.left) / box.width * w - left) / (w - left - right) * length));
    };
    svg.addEventListener("pointerdown", choose);
    svg.addEventListener("pointermove", (event) => { if (event.buttons & 1) choose(event); });
    chart.replaceChildren(svg, slider, output, legend);
    moved();
  }
  function nearest(at) {
    const distance = (place) => Math.abs(data.breakdowns[place].at - at);
    return data.breakdowns.reduce((best, _, place) => (distance(place) < distance(best) ? place : best), 0);
  }
  function pick(index) {
    if (index === state.index) return;
    state.index = index;
    document.getElementById("picked-time").textContent = time(data.breakdowns[index].at);
    moved();
    drawTreemap();
    drawTable();
  }

  function drawAll() {
    if (chart) drawChart();
    if (data.breakdowns.length) drawTreemap();
    if (table && data.breakdowns.length) drawTable();
  }
  if (table && data.breakdowns.length) {
    for (const head of table.tHead.rows[0].cells) {
      if (head.dataset.key) headButton(head, (descending) => { state.sort = head.dataset.key; state.descending = descending; drawTable(); });
    }
  }
  document.querySelectorAll("table.sortable").forEach(sortable);
  const theme = document.getElementById("theme");
  const dark = () => (html.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const label = () => { theme.textContent = dark() ? "Light" : "Dark"; };
  theme.hidden = false;
  theme.addEventListener("click", () => { html.dataset.theme = dark() ? "light" : "dark"; label(); drawAll(); });
  label();
  drawAll();
  let width = innerWidth, waiting = 0;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(drawAll);
  });
})();
