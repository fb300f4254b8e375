/* SPDX-License-Identifier: Apache-2.0 */
"use strict";
// The task page: one question, one answer, plots and a table, all of the same rows.
// Texts come from records, so that they go into the page as text nodes only.

const LIMITS = [
  { key: "flash", title: "Flash at most, KiB", unit: "KiB", name: "flash", over: "over_flash_bytes" },
  { key: "ram", title: "RAM at most, KiB", unit: "KiB", name: "RAM", over: "over_ram_bytes" },
  { key: "latency", title: "Latency at most, ms", unit: "ms", name: "time" },
  { key: "accuracy", title: "Accuracy at least, %", unit: "points", name: "accuracy" },
];
const NEAR = 6; // misses that are named
const NOT_RUN = "not run: too large";

const fixed = (value, digits) => (value === null || value === undefined ? "" : value.toFixed(digits));

/** Columns as the page has them -> rows with an id; see _packed in site.py. */
function unpack(columns) {
  const names = Object.keys(columns);
  const many = names.map((name) => columns[name]).find((column) => column.codes || Array.isArray(column));
  const count = many ? (many.codes || many).length : 1;
  const read = (column, i) => (Array.isArray(column) ? column[i] : column.codes ? column.values[column.codes[i]] : column.all);
  return Array.from({ length: count }, (_, id) => {
    const row = { id };
    for (const name of names) row[name] = read(columns[name], id);
    row.command = row.command.replaceAll("\u0001", quoted(row.recipe));
    return row;
  });
}

/** As Python's shlex.quote. */
function quoted(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\"'\"'")}'`;
}

/** The contest measured on most, of equal terms if there is one: what is shown first. */
function largest(all) {
  const equal = all.filter((row) => !row.unequal);
  const rows = equal.length ? equal : all;
  let best = rows[0];
  for (const row of rows) if (row.samples * row.folds > best.samples * best.folds) best = row;
  return best.contest;
}

/** The board on which most rows of a contest were run. */
function busiest(rows, contest) {
  const counts = new Map();
  for (const row of rows) if (row.contest === contest && row.ran) counts.set(row.board, (counts.get(row.board) || 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))[0][0];
}

/** By what a row exceeds the limits: [{name, by, unit}]. A board's own limits are those of its record, which knows its regions. */
function misses(row, state) {
  const found = [];
  for (const { key, name, unit, over } of LIMITS) {
    const limit = state[key];
    let by = limit === null ? 0 : key === "accuracy" ? limit - row.accuracy : (row[key] ?? Infinity) - limit;
    if (over && state.board) by = Math.max(by, row[over] / 1024);
    if (by > 1e-9) found.push({ name, by, unit, at: name === "RAM" ? row.peak : "" });
  }
  return found;
}

const missText = ({ name, by, unit, at }) =>
  by === Infinity ? `${name}, which is not known` : `${name} by ${by.toFixed(1)} ${unit}${at ? ` (at ${at})` : ""}`;

/** Latency, and between which a real board is expected where that is known. */
function latency(row) {
  if (row.latency === null) return NOT_RUN;
  const ends = [row.soonest, row.latest];
  const digits = row.soonest >= 20 ? 0 : row.soonest >= 2 ? 1 : 2;
  return fixed(row.latency, 1) + (ends.includes(null) ? "" : ` (${ends.map((end) => fixed(end, digits)).join("–")})`);
}

const costs = (row) =>
  `${fixed(row.accuracy, 1)} % (${fixed(row.low, 1)}–${fixed(row.high, 1)}) with ${fixed(row.flash, 1)} KiB of flash, ` +
  `${fixed(row.ram, 1)} KiB of RAM, ${latency(row)}${row.latency === null ? "" : " ms"}`;

/** The most accurate that fits, and the smallest that shares its place; those that lack folds rank last, claimed ones do not count. */
function answer(rows) {
  const fitting = rows.filter((row) => row.within && row.trust !== "claimed");
  const ranked = fitting.some((row) => row.place !== null) ? fitting.filter((row) => row.place !== null) : fitting;
  const best = ranked.reduce((a, b) => (a && a.accuracy >= b.accuracy ? a : b), null);
  const ties = best ? ranked.filter((row) => row.board === best.board && row.place !== null && row.place === best.place) : [];
  const smallest = ties.reduce((a, b) => (a.flash <= b.flash ? a : b), best);
  const missing = rows.filter((row) => !row.within && row.trust !== "claimed").sort((a, b) => b.accuracy - a.accuracy || a.id - b.id);
  return { fitting, best, smallest, missing };
}

/** State <-> query string; what is as it is by default is left out. */
class State {
  constructor(rows, boards) {
    Object.assign(this, { rows, boards });
    this.read(new URLSearchParams(location.search));
  }

  read(query) {
    const contests = new Set(this.rows.map((row) => row.contest));
    this.contest = contests.has(query.get("contest")) ? query.get("contest") : largest(this.rows);
    const asked = query.get("board");
    const known = this.rows.some((row) => row.contest === this.contest && row.board === asked);
    this.board = asked === "any" ? "" : known ? asked : busiest(this.rows, this.contest);
    for (const { key } of LIMITS) this[key] = this.number(query.get(key), key);
    this.filter = query.get("filter") || "";
    this.sort = (query.get("sort") || "").split(".");
    const row = this.rows.find((one) => one.contest === this.contest && this.name(one) === query.get("row"));
    this.chosen = row ? row.id : -1;
  }

  number(text, key) {
    const value = Number.parseFloat(text);
    return text === "none" ? null : Number.isFinite(value) && value >= 0 ? value : this.standard(key);
  }

  /** The limit that the board sets, or none. */
  standard(key) {
    const bytes = this.board && { flash: this.boards[this.board][0], ram: this.boards[this.board][1] }[key];
    return bytes ? bytes / 1024 : null;
  }

  setBoard(board) {
    this.board = board;
    for (const { key } of LIMITS) if (key === "flash" || key === "ram") this[key] = this.standard(key);
  }

  name(row) {
    return `${row.recipe}|${row.board}`;
  }

  write() {
    const query = new URLSearchParams();
    if (this.contest !== largest(this.rows)) query.set("contest", this.contest);
    if (this.board !== busiest(this.rows, this.contest)) query.set("board", this.board || "any");
    for (const { key } of LIMITS) if (this[key] !== this.standard(key)) query.set(key, this[key] === null ? "none" : this[key]);
    if (this.filter) query.set("filter", this.filter);
    if (this.sort[0]) query.set("sort", this.sort.join("."));
    if (this.chosen >= 0) query.set("row", this.name(this.rows[this.chosen]));
    const text = query.toString();
    history.replaceState(null, "", `${location.pathname}${text ? `?${text}` : ""}${location.hash}`);
  }
}

const number = (key, digits, sign = "") => (row) => (row[key] === null ? "" : row[key].toFixed(digits) + sign);

const ran = (key, digits) => (row) => (row[key] === null ? NOT_RUN : row[key].toFixed(digits));

// Title in the table, name in a plot's tooltip, text; optional ones are left out where no row has them.
const COLUMNS = [
  { key: "place", title: "Place", text: (row) => (row.place === null ? "–" : String(row.place)) },
  { key: "recipe", title: "Recipe", left: true, text: (row) => row.recipe },
  { key: "board", title: "Board", left: true, text: (row) => row.board },
  { key: "within", title: "Fits", left: true, text: (row) => row.fitText },
  { key: "accuracy", title: "Accuracy % (95 %)", text: (row) => `${fixed(row.accuracy, 1)} (${fixed(row.low, 1)}–${fixed(row.high, 1)})` },
  { key: "size", title: "Size", left: true, text: (row) => row.size ?? "", optional: true },
  { key: "flash", title: "Flash KiB", text: number("flash", 1) },
  { key: "ram", title: "RAM KiB", text: number("ram", 1) },
  { key: "cycles", title: "Mcycles", text: ran("cycles", 2) },
  { key: "latency", title: "Latency ms", text: latency },
  { key: "energy", title: "Energy µJ", text: number("energy", 1), optional: true },
  { key: "estimated", title: "Energy µJ (estimated)", text: number("estimated", 1), optional: true },
  { key: "smaller", title: "smaller", text: number("smaller", 1, "×"), optional: true },
  { key: "faster", title: "faster", text: number("faster", 1, "×"), optional: true },
  { key: "crops", title: "10 crops %", text: number("crops", 1), optional: true },
  { key: "trust", title: "Trust", left: true, text: (row) => row.trust },
  { key: "macs", title: "MACs (counted)", text: (row) => row.macs },
];

/** How a cell sorts, filters and looks. */
function cell(column) {
  return (_, type, row) => {
    if (type === "sort" || type === "type") return row[column.key] ?? (column.left ? "" : Infinity);
    if (type !== "display") return column.text(row);
    if (column.key !== "recipe") return document.createTextNode(column.text(row));
    const button = make("button", { type: "button", title: "Select" }, row.recipe);
    return make("span", {}, button, row.pareto ? " ◆" : "");
  };
}

class Explorer {
  constructor(root, data) {
    this.root = root;
    this.data = data;
    this.rows = unpack(data.columns);
    this.state = new State(this.rows, data.boards);
    this.views = [];
    this.dress();
    this.form = this.makeForm();
    this.answer = make("div", { className: "answer", "aria-live": "polite" });
    this.legend = make("ul", { className: "legend", "aria-label": "What colours and shapes mean" });
    this.plots = make("div", { className: "plots" });
    this.chosen = make("div", { className: "chosen", hidden: true });
    const hint =
      "Whiskers: 95 % interval. Hollow: does not fit. Dashed: the Pareto front of what fits. Point at a mark for its record, click it for its row.";
    root.append(this.form, this.answer, this.legend, this.plots, make("p", { className: "hint" }, hint), this.chosen);
    this.makeTable();
    this.update();
    this.fillForm();
    requestAnimationFrame(() => setTimeout(() => this.draw()));
    onTurn(() => this.draw());
  }

  /** A colour and a shape for every recipe; of many recipes, one colour for every first method. */
  dress() {
    const recipes = [...new Set(this.rows.map((row) => row.recipe))].sort();
    const { colours } = window.kilobench;
    this.simple = recipes.length <= colours.length;
    const group = (recipe) => (this.simple ? recipe : recipe.split(/[+[]/)[0]);
    const groups = [...new Set(recipes.map(group))].sort();
    this.looks = new Map(
      groups.map((name, i) => [name, { colour: colours[i % colours.length], shape: Object.keys(SHAPES)[i % 8] }]),
    );
    for (const row of this.rows) row.group = group(row.recipe);
  }

  makeForm() {
    const { rows, state } = this;
    const form = make("form", { onsubmit: (event) => event.preventDefault() });
    const select = (name, title, options, change) => {
      const element = make("select", { name, "aria-label": title, onchange: () => change(element.value) });
      element.append(...options.map(([value, text]) => make("option", { value }, text)));
      form.append(make("label", { className: "wide" }, title, element));
      return element;
    };
    const contests = [...new Set(rows.map((row) => row.contest))];
    if (contests.length > 1) {
      this.contestBox = select("contest", "Compared among", contests.map((name) => [name, name]), (contest) => this.setContest(contest));
    }
    this.boardBox = select("board", "Board", [], (board) => this.change(() => state.setBoard(board)));
    this.boxes = LIMITS.map(({ key, title }) => {
      const box = make("input", { type: "number", min: "0", step: "any", name: key, placeholder: "any" });
      box.oninput = () => this.change(() => (state[key] = box.value === "" ? null : Number(box.value)), false);
      form.append(make("label", {}, title, box));
      return box;
    });
    form.append(make("button", { type: "button", onclick: () => this.reset() }, "Reset"));
    const title = "What fits my board?";
    return make("fieldset", {}, make("legend", {}, title), form);
  }

  fillForm() {
    const { state } = this;
    if (this.contestBox) this.contestBox.value = state.contest;
    const boards = [...new Set(this.rows.filter((row) => row.contest === state.contest).map((row) => row.board))].sort();
    this.boardBox.replaceChildren(
      ...boards.map((name) => make("option", { value: name }, name)),
      make("option", { value: "" }, "any (limits below)"),
    );
    this.boardBox.value = state.board;
    LIMITS.forEach(({ key }, i) => (this.boxes[i].value = state[key] === null ? "" : state[key]));
  }

  setContest(contest) {
    const { filter, sort } = this.state;
    this.change(() => {
      this.state.read(new URLSearchParams({ contest }));
      Object.assign(this.state, { filter, sort });
    });
  }

  reset() {
    this.change(() => this.state.read(new URLSearchParams()));
    this.table.order([]).search("").draw();
  }

  /** Whatever changes the state, the page and its address follow. */
  change(action, refill = true) {
    action();
    if (refill) this.fillForm();
    this.update();
  }

  update() {
    const { state } = this;
    this.shown = this.rows.filter((row) => row.contest === state.contest && (!state.board || row.board === state.board));
    for (const row of this.shown) {
      row.misses = misses(row, state);
      row.within = !row.misses.length;
      row.fitText = row.misses.length ? `no: misses ${row.misses.map(missText).join(", ")}` : "yes";
    }
    this.tell(answer(this.shown));
    this.table.column("board:name").visible(!state.board, false);
    this.table.clear().rows.add(this.shown).draw();
    this.feed();
    this.choose(state.chosen, false);
  }

  /** The answer in words. */
  tell({ fitting, best, smallest, missing }) {
    const strong = (row) => make("strong", {}, make("code", {}, row.recipe), this.state.board ? "" : ` on ${row.board}`);
    const where = this.state.board || "these limits";
    const parts = [];
    if (best) {
      parts.push(make("p", { className: "best" }, strong(best), ` is the most accurate that fits ${where}: ${costs(best)}.`));
      if (smallest !== best) {
        parts.push(make("p", {}, "The smallest that ties with it: ", strong(smallest), `, ${costs(smallest)}.`));
      } else if (best.place !== null) {
        parts.push(make("p", {}, "None that ties with it is smaller."));
      }
    } else parts.push(make("p", { className: "best" }, make("strong", {}, `Nothing fits ${where}.`)));
    if (best && best.unequal) parts.push(make("p", {}, `Not ranked: ${best.unequal}.`));
    parts.push(make("p", {}, `${fitting.length} of ${fitting.length + missing.length} fit${missing.length ? ". What misses, and by how much:" : "."}`));
    const near = missing.slice(0, NEAR).map((row) => make("li", {}, strong(row), ` misses ${row.misses.map(missText).join(" and ")}`));
    if (missing.length > NEAR) near.push(make("li", {}, `and ${missing.length - NEAR} more, see “Fits” in the table`));
    if (near.length) parts.push(make("ul", {}, ...near));
    this.answer.classList.toggle("none", !best);
    this.answer.replaceChildren(...parts);
  }

  makeTable() {
    const columns = COLUMNS.filter(({ key, optional }) => !optional || this.rows.some((row) => row[key] !== null));
    const head = make("tr", {}, ...columns.map(({ title }) => make("th", { scope: "col" }, title)));
    const caption = make("caption", {}, `Recipes measured on ${this.data.task}`);
    const element = make("table", { className: "rows" }, caption, make("thead", {}, head));
    this.root.append(element);
    const name = (column) => `${column.left ? "text " : ""}${column.key}`;
    const { state } = this;
    const sorted = columns.findIndex(({ key }) => key === state.sort[0]);
    this.table = new window.DataTable(element, {
      columns: columns.map((column) => ({ name: column.key, className: name(column), data: null, render: cell(column) })),
      order: sorted < 0 ? [] : [[sorted, state.sort[1] === "desc" ? "desc" : "asc"]],
      search: { search: state.filter },
      autoWidth: false,
      deferRender: true,
      pageLength: 25,
      lengthMenu: [25, 100, { label: "all", value: -1 }],
      language: { search: "Filter", lengthMenu: "Rows _MENU_", zeroRecords: "No row matches.", infoFiltered: "(of _MAX_)" },
    });
    element.before(make("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": "Table, scrolls sideways" }));
    element.previousSibling.append(element);
    this.root.append(make("p", { className: "hint" }, `${window.kilobench.places}. Select a recipe to see how it was measured, and to repeat it.`));
    this.table.on("draw", () => this.mark());
    this.table.on("search", () => this.filtered());
    this.table.on("order", () => this.ordered(columns));
    element.tBodies[0].addEventListener("click", (event) => {
      const row = this.table.row(event.target.closest("tr")).data();
      if (row && !getSelection().toString()) this.choose(row.id === state.chosen ? -1 : row.id, false);
    });
  }

  filtered() {
    if (this.state.filter === this.table.search()) return;
    this.state.filter = this.table.search();
    this.state.write();
    this.feed();
  }

  ordered(columns) {
    const [first] = this.table.order();
    this.state.sort = first && first[1] ? [columns[first[0]].key, first[1]] : [""];
    this.state.write();
  }

  /** Select a row (-1: none) in table and plots, and say how to repeat it; ``go``: bring it into sight. */
  choose(id, go) {
    this.state.chosen = id;
    this.state.write();
    for (const view of this.views) view.signal("chosen", id).runAsync();
    this.mark();
    this.describe(this.rows[id]);
    if (go && id >= 0) this.reveal(id);
  }

  mark() {
    for (const button of this.root.querySelectorAll("table.rows tbody button")) {
      const tr = button.closest("tr");
      const chosen = this.table.row(tr).data().id === this.state.chosen;
      tr.classList.toggle("selected", chosen);
      button.setAttribute("aria-pressed", String(chosen));
    }
  }

  reveal(id) {
    const order = this.table.rows({ search: "applied" }).data().toArray();
    const at = order.findIndex((row) => row.id === id);
    const length = this.table.page.len();
    if (at >= 0 && length > 0) this.table.page(Math.floor(at / length)).draw("page");
    this.root.querySelector("tr.selected")?.scrollIntoView({ block: "center", behavior: "auto" });
  }

  describe(row) {
    this.chosen.hidden = !row;
    if (!row) return;
    const training = row.training ? `, training changed: ${row.training}` : "";
    const measured =
      `${row.network}${training}, ${row.link}, ${row.toolchain}; cycles ${row.timing} at ${row.mhz} MHz` +
      `${row.conditions ? ` (${row.conditions})` : ""}; ` +
      `${row.estimated === null ? "" : `energy estimated from the data sheet: ${row.current}; `}${row.samples} test samples, ${row.folds} fold(s), ${row.seeds} seed(s), ` +
      `${row.trust}, board equal to host on ${row.verified} inputs${row.partial ? `; partial data, ${row.partial} inputs lacking` : ""}${row.transcoded ? `; transcoded data, ${row.transcoded} inputs not as published` : ""}.`;
    this.chosen.replaceChildren(
      make("p", {}, make("strong", {}, row.recipe), ` on ${row.board}. ${measured} To repeat it:`),
      make("pre", {}, make("code", {}, row.command)),
    );
  }

  /** The rows that the filter leaves, as plots need them. */
  points() {
    const applied = this.table.rows({ search: "applied" }).data().toArray().filter((row) => row.trust !== "claimed");
    return applied.map((row) => {
      const { colour, shape } = this.looks.get(row.group);
      const label = `${row.recipe} on ${row.board}: ${costs(row)}`;
      return { ...row, colour: readable(colour), shape, label, whisker: applied.length <= MANY }; // Vega marks what it is given
    });
  }

  feed() {
    clearTimeout(this.feeding);
    this.feeding = setTimeout(async () => {
      const points = this.views.length ? this.points() : [];
      for (const view of this.views) {
        await view.data("rows", points).signal("size", points.length > MANY ? 20 : 90).resize().runAsync();
        await pause();
      }
    });
  }

  /** All plots anew: at first, and when light turns to dark. */
  async draw() {
    const turn = (this.turn = (this.turn || 0) + 1);
    document.documentElement.classList.toggle("dark", dark()); // read by the table's style sheet
    this.legend.replaceChildren(...legend([...this.looks].slice(0, 40).map(([name, look]) => [this.simple ? name : `${name} …`, look])));
    const points = this.points();
    const axes = Object.keys(window.kilobench.plots).filter((axis) => this.rows.some((row) => row[axis] !== null));
    const label = (axis) => window.kilobench.plots[axis].description;
    const places = axes.map((axis) => make("div", { className: "plot", id: `plot-${axis}`, role: "group", "aria-label": label(axis) }));
    this.plots.replaceChildren(...places);
    const made = [];
    for (const [i, axis] of axes.entries()) {
      const spec = { ...window.kilobench.plots[axis], datasets: { rows: points }, config: { ...theme(), aria: points.length <= MANY } };
      await pause();
      const { view } = await embed(places[i], spec, points.length);
      if (turn !== this.turn) return;
      view.addEventListener("click", (_, item) => item?.datum?.id !== undefined && this.choose(item.datum.id, true));
      view.signal("chosen", this.state.chosen).signal("size", points.length > MANY ? 20 : 90).runAsync();
      made.push(view);
    }
    this.views = made;
    this.root.dataset.drawn = String(turn);
  }
}

new Explorer(document.querySelector("div.explore"), data);
