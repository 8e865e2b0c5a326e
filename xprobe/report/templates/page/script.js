"use strict";
// Nothing is missing where scripts do not run: tables stand in their order, and the confusions that
// are shown are written out.

// A click on the head of a column sorts a table by it, another click the other way round.
for (const table of document.querySelectorAll("table.sortable")) {
  table.querySelectorAll("thead tr:last-child th").forEach((head, column) => {
    if (head.classList.contains("fixed")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
      const compare = (a, b) => {
        const [x, y] = [value(a), value(b)];
        const numbers = Number(x) - Number(y);
        return Number.isNaN(numbers) ? x.localeCompare(y, undefined, { numeric: true }) : numbers;
      };
      const body = table.tBodies[0];
      body.append(...[...body.rows].sort((a, b) => (down ? -compare(a, b) : compare(a, b))));
    });
  });
}

// Any two confusion matrices of a study beside their difference.
const data = document.getElementById("confusion-data");
if (data) {
  const studies = JSON.parse(data.textContent);
  const [study, one, two] = ["study", "one", "two"].map((name) =>
    document.getElementById(`confusion-${name}`));
  const views = document.getElementById("confusion-views");
  const fill = (select, titles, chosen) => {
    select.replaceChildren(...titles.map((title, i) => new Option(title, i, false, i === chosen)));
  };
  const share = (counts) => counts.map((row) => {
    const n = row.reduce((a, b) => a + b, 0);
    return { n, cells: row.map((value) => (n ? (100 * value) / n : 0)) };
  });
  const matrix = (title, classes, rows, signed) => {
    const figure = document.createElement("figure");
    const table = document.createElement("table");
    table.className = "confusion";
    const head = table.createTHead().insertRow();
    for (const words of ["", "n", ...classes]) {
      const cell = document.createElement("th");
      const inner = document.createElement("span");
      inner.textContent = words;
      cell.append(inner);
      head.append(cell);
    }
    const body = table.createTBody();
    rows.forEach((row, i) => {
      const line = body.insertRow();
      const name = document.createElement("th");
      name.textContent = classes[i];
      line.append(name);
      line.insertCell().textContent = row.n;
      row.cells.forEach((value, j) => {
        const cell = line.insertCell();
        const sign = value < 0 ? "−" : signed && value > 0 ? "+" : "";
        cell.textContent = Math.abs(value) <= 0.5 ? "" : sign + Math.abs(value).toFixed(0);
        cell.className = `shade${value < 0 ? " down" : ""}${i === j ? " right" : ""}`;
        cell.style.setProperty("--s", Math.min(1, Math.abs(value) / (signed ? 30 : 100)).toFixed(2));
        cell.title = `${classes[i]} taken for ${classes[j]}: ${sign}${Math.abs(value).toFixed(1)}`;
      });
    });
    const caption = document.createElement("figcaption");
    caption.textContent = title;
    figure.append(caption, table);
    return figure;
  };
  const draw = () => {
    const { classes, settings } = studies[study.value];
    const [a, b] = [settings[one.value], settings[two.value]];
    const [before, after] = [share(a[1]), share(b[1])];
    const difference = after.map((row, i) => ({
      n: row.n, cells: row.cells.map((value, j) => value - before[i].cells[j]),
    }));
    views.replaceChildren(
      matrix(a[0], classes, before, false), matrix(b[0], classes, after, false),
      matrix(`${b[0]} less ${a[0]}, points`, classes, difference, true));
  };
  const place = (titles, title, otherwise) => {
    const i = titles.indexOf(title);
    return i < 0 ? Math.min(otherwise, titles.length - 1) : i;
  };
  const choose = () => {
    const titles = studies[study.value].settings.map(([title]) => title);
    fill(one, titles, place(titles, "real-only", 0));
    fill(two, titles, place(titles, views.dataset.setting, 1));
  };
  const titles = studies.map(({ title }) => title);
  fill(study, titles, place(titles, views.dataset.study, 0));
  choose();
  document.getElementById("confusion-choice").hidden = false;
  study.addEventListener("change", () => { choose(); draw(); });
  for (const select of [one, two]) select.addEventListener("change", draw);
}
