"use strict";

// Draws one image of a sheet on a canvas.
function crop(canvas, picture, columns, rows, place) {
  const width = picture.naturalWidth / columns, height = picture.naturalHeight / rows;
  [canvas.width, canvas.height] = [width, height];
  const left = (place % columns) * width, top = Math.floor(place / columns) * height;
  canvas.getContext("2d").drawImage(picture, left, top, width, height, 0, 0, width, height);
}

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const dialog = document.querySelector("dialog");
let enlarged = null; // the sheet and the index of the image in the dialog

function enlarge(sheet, place) {
  const { columns, rows } = sheet.dataset;
  enlarged = [sheet, (place + columns * rows) % (columns * rows)];
  const picture = sheet.querySelector("img[data-label]:not([hidden])");
  const nearest = picture.nextElementSibling;
  const [own, other] = dialog.querySelectorAll("canvas");
  crop(own, picture, columns, rows, enlarged[1]);
  other.parentElement.hidden = !nearest.matches(".nearest");
  if (!other.parentElement.hidden) crop(other, nearest, columns, rows, enlarged[1]);
  const label = picture.dataset.label && ", " + picture.dataset.label;
  dialog.querySelector("h2").textContent = `Image ${enlarged[1] + 1}${label}`;
  dialog.querySelector("p").textContent = JSON.parse(picture.dataset.about)[enlarged[1]];
  if (!dialog.open) dialog.showModal();
}

dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close(); // a click on the backdrop
  if (event.target.value) enlarge(enlarged[0], enlarged[1] + Number(event.target.value));
});
dialog.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (step) enlarge(enlarged[0], enlarged[1] + step);
});

function setUpSheet(sheet) {
  const columns = Number(sheet.dataset.columns);
  const cells = [...sheet.querySelectorAll(".cells button")];
  cells.forEach((cell, place) => {
    cell.addEventListener("click", () => enlarge(sheet, place));
    cell.addEventListener("keydown", (event) => {
      if (!(event.key in STEPS)) return;
      const [right, down] = STEPS[event.key];
      const next = cells[place + right + columns * down];
      event.preventDefault();
      if (!next) return;
      cell.tabIndex = -1; // the sheet is a single tab stop
      next.tabIndex = 0;
      next.focus();
    });
  });
}

function setUpGrowth(growth) {
  const pictures = growth.querySelectorAll("img[data-label]");
  const range = growth.querySelector("input"), play = growth.querySelector(".play");
  if (!range) return;
  let timer = null;
  function show() {
    pictures.forEach((picture, number) => { picture.hidden = number !== Number(range.value); });
    const label = pictures[range.value].dataset.label;
    growth.querySelector("output").textContent = label;
    range.setAttribute("aria-valuetext", label);
  }
  function stop() {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
    play.setAttribute("aria-pressed", "false");
  }
  range.addEventListener("input", () => { stop(); show(); });
  play.addEventListener("click", () => {
    if (timer) return stop();
    play.textContent = "Pause";
    play.setAttribute("aria-pressed", "true");
    if (range.value === range.max) range.value = 0;
    show();
    timer = setInterval(() => {
      range.value = Number(range.value) + 1;
      show();
      if (range.value === range.max) stop();
    }, 700);
  });
}

function setUpPlane(plane) {
  const side = Number(plane.dataset.side), map = plane.querySelector(".map");
  const pictures = map.querySelectorAll("img"), select = plane.querySelector("select");
  let [column, row] = [Math.floor(side / 2), Math.floor(side / 2)];
  function show() {
    const chosen = select ? Number(select.value) : 0;
    pictures.forEach((picture, number) => { picture.hidden = number !== chosen; });
    crop(plane.querySelector("canvas"), pictures[chosen], side, side, row * side + column);
    const place = map.querySelector(".place");
    place.style.left = `${(100 * column) / side}%`;
    place.style.top = `${(100 * row) / side}%`;
    plane.querySelector("output").textContent = `column ${column + 1}, row ${row + 1} of ${side}`;
  }
  function move(right, down) {
    [column, row] = [right, down].map((place) => Math.max(0, Math.min(side - 1, place)));
    show();
  }
  function follow(event) {
    const box = map.getBoundingClientRect();
    const places = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    move(...places.map((share) => Math.floor(share * side)));
  }
  map.addEventListener("pointerdown", (event) => { map.setPointerCapture(event.pointerId); follow(event); });
  map.addEventListener("pointermove", (event) => { if (event.buttons) follow(event); });
  map.addEventListener("keydown", (event) => {
    if (!(event.key in STEPS)) return;
    event.preventDefault();
    move(column + STEPS[event.key][0], row + STEPS[event.key][1]);
  });
  if (select) select.addEventListener("change", show);
  show();
}

function setUpCurve(curve) {
  const points = JSON.parse(curve.dataset.points), range = curve.querySelector("input");
  const drawn = curve.querySelector(".drawn");
  function show() {
    const [place, words] = points[range.value];
    curve.querySelector(".line").style.left = `${place}%`;
    curve.querySelector("output").textContent = words;
    range.setAttribute("aria-valuetext", words);
  }
  function follow(event) {
    const box = drawn.getBoundingClientRect(), share = (100 * (event.clientX - box.left)) / box.width;
    const far = points.map(([place]) => Math.abs(place - share));
    range.value = far.indexOf(Math.min(...far));
    show();
  }
  range.addEventListener("input", show);
  for (const kind of ["pointermove", "pointerdown"]) drawn.addEventListener(kind, follow);
  show();
}

window.addEventListener("load", () => { // after the pictures are decoded
  document.querySelectorAll(".sheet").forEach(setUpSheet);
  document.querySelectorAll(".growth").forEach(setUpGrowth);
  document.querySelectorAll(".plane").forEach(setUpPlane);
  document.querySelectorAll(".curve").forEach(setUpCurve);
});
