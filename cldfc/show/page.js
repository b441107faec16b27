"use strict";
const svg = document.querySelector("main svg");
const tip = document.getElementById("tip");
const all = (selector) => [...document.querySelectorAll(selector)];

// Zoom with the wheel, move by dragging: both change the part of the picture that is shown.
const view = { x: 0, y: 0, width: svg.viewBox.baseVal.width, height: svg.viewBox.baseVal.height };
const home = { ...view };
const look = () => svg.setAttribute("viewBox", `${view.x} ${view.y} ${view.width} ${view.height}`);
const place = (event) => new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
svg.addEventListener("wheel", (event) => {
  event.preventDefault();
  const factor = Math.min(4, Math.max(0.25, Math.exp(event.deltaY / 500)));
  const width = Math.min(4 * home.width, Math.max(home.width / 40, view.width * factor));
  const at = place(event), scale = width / view.width;
  view.x = at.x - (at.x - view.x) * scale;
  view.y = at.y - (at.y - view.y) * scale;
  view.width = width;
  view.height *= scale;
  look();
}, { passive: false });
let held = null, moved = false;
svg.addEventListener("pointerdown", (event) => { held = place(event); moved = false; });
addEventListener("pointerup", () => { held = null; });
svg.addEventListener("pointermove", (event) => {
  if (!held) return;
  const at = place(event);
  if (Math.hypot(at.x - held.x, at.y - held.y) * svg.getScreenCTM().a > 4) moved = true;
  if (!moved) return;
  view.x -= at.x - held.x;
  view.y -= at.y - held.y;
  look();
});
svg.addEventListener("dblclick", () => { Object.assign(view, home); look(); });

// Point at a box: its shape and its cost.
for (const node of all(".node")) {
  node.addEventListener("pointermove", (event) => {
    tip.textContent = node.dataset.info;
    tip.style.display = "block";
    tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8)}px`;
  });
  node.addEventListener("pointerleave", () => { tip.style.display = "none"; });
}

// Click a kernel, in the picture or in the table: all its uses light up; click it again: all is as before.
let lit = "";
const keys = (element) => (element.dataset.kernels || "").split(" ").filter(Boolean);
const light = (wanted) => {
  lit = wanted.join(" ") === lit ? "" : wanted.join(" ");
  svg.classList.toggle("dim", lit !== "");
  for (const element of all("[data-kernels]"))
    element.classList.toggle("lit", lit !== "" && keys(element).some((key) => lit.split(" ").includes(key)));
};
for (const element of all("[data-kernels]"))
  element.addEventListener("click", () => { if (!moved && keys(element).length) light(keys(element)); });

// Click a level: it collapses to a strip, and what is below moves up.
const STRIP = 36;
const bands = all(".level").map((group) => {
  const { y, height } = group.querySelector("rect").getBBox();
  return { group, top: y, height, closed: false };
});
const shifted = (y) => bands.reduce((sum, { top, height, closed }) => {
  const inside = Math.min(Math.max(y - top, 0), height);
  return closed && height > STRIP ? sum - inside * (1 - STRIP / height) : sum;
}, y);
const near = (corner, other) => {
  const length = Math.hypot(other[0] - corner[0], other[1] - corner[1]) || 1, share = Math.min(5, length / 2) / length;
  return [corner[0] + share * (other[0] - corner[0]), corner[1] + share * (other[1] - corner[1])];
};
const line = (points) => points.map((point, at) =>
  at === 0 ? `M${point}` : at === points.length - 1 ? `L${point}`
    : `L${near(point, points[at - 1])}Q${point} ${near(point, points[at + 1])}`).join("");
const arrange = () => {
  bands.forEach((band, number) => {
    const move = shifted(band.top) - band.top;
    band.group.querySelector("rect").setAttribute("height", band.closed ? Math.min(STRIP, band.height) : band.height);
    const lift = band.closed ? (Math.min(STRIP, band.height) - band.height) / 2 : 0;
    band.group.setAttribute("transform", `translate(0 ${move})`);
    for (const text of band.group.querySelectorAll("text")) text.setAttribute("transform", `translate(0 ${lift})`);
    for (const element of all(`.in-${number}`)) {
      element.classList.toggle("hidden", band.closed);
      element.setAttribute("transform", `translate(0 ${move})`);
    }
  });
  for (const edge of all(".between")) {
    const points = edge.dataset.points.split(" ").map((point) => point.split(",").map(Number));
    edge.setAttribute("d", line(points.map(([x, y]) => [x, shifted(y)])));
  }
};
for (const band of bands)
  band.group.addEventListener("click", () => { if (!moved) { band.closed = !band.closed; arrange(); } });
