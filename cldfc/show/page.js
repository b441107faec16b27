"use strict";
const svg = document.querySelector("main svg");
const tip = document.getElementById("tip");
const all = (selector) => [...document.querySelectorAll(selector)];

// Zoom with the wheel, move by dragging: both change the part of the picture that is shown.
const view = { x: 0, y: 0, width: svg.viewBox.baseVal.width, height: svg.viewBox.baseVal.height };
const home = { ...view };
const look = () => svg.setAttribute("viewBox", `${view.x} ${view.y} ${view.width} ${view.height}`);
const zoom = (at, factor) => {
  const width = Math.min(4 * home.width, Math.max(home.width / 40, view.width * factor)), scale = width / view.width;
  view.x = at.x - (at.x - view.x) * scale;
  view.y = at.y - (at.y - view.y) * scale;
  view.width = width;
  view.height *= scale;
  look();
};
const place = (event) => new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
svg.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(place(event), Math.min(4, Math.max(0.25, Math.exp(event.deltaY / 500))));
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
const whole = () => { Object.assign(view, home); look(); };
svg.addEventListener("dblclick", whole);

// Point at a box, or reach it by Tab: its shape and its cost.
const tell = (text, x, y) => {
  tip.textContent = text;
  tip.style.display = "block";
  tip.style.left = `${Math.max(0, Math.min(x + 14, innerWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${Math.max(0, Math.min(y + 14, innerHeight - tip.offsetHeight - 8))}px`;
};
const hush = () => { tip.style.display = "none"; };
for (const node of all(".node")) {
  node.addEventListener("pointermove", (event) => tell(node.dataset.info, event.clientX, event.clientY));
  node.addEventListener("pointerleave", hush);
  node.addEventListener("focus", () => {
    const { left, bottom } = node.getBoundingClientRect();
    if (node.matches(":focus-visible")) tell(node.dataset.info, left - 14, bottom - 6);
  });
  node.addEventListener("blur", hush);
}

// What can be clicked can be reached by Tab, and takes Enter and the space bar.
const button = (element, name, act) => {
  element.setAttribute("tabindex", "0");
  if (element.tagName !== "TR") {
    element.setAttribute("role", "button");
    element.setAttribute("aria-label", name);
  }
  element.addEventListener("click", () => { if (!moved) act(); });
  element.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    act();
  });
};
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("aside")) return;
  const middle = { x: view.x + view.width / 2, y: view.y + view.height / 2 };
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (event.key === "+" || event.key === "=") zoom(middle, 0.8);
  else if (event.key === "-") zoom(middle, 1.25);
  else if (event.key === "0") whole();
  else if (step) { view.x += step[0] * view.width / 10; view.y += step[1] * view.height / 10; look(); }
  else return;
  event.preventDefault();
});

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
  if (keys(element).length) button(element, element.dataset.info, () => light(keys(element)));
addEventListener("keydown", (event) => { if (event.key === "Escape" && lit) light(lit.split(" ")); });

// Click a level: it collapses to a strip, and what is below moves up. Edges then end at the strip.
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
  at === 0 ? `M${point}` : at === points.length - 1 ? `L${point}${head(points[at - 1], point)}`
    : `L${near(point, points[at - 1])}Q${point} ${near(point, points[at + 1])}`).join("");
const head = (before, [x, y]) => {
  const length = Math.hypot(x - before[0], y - before[1]) || 1;
  const [ahead, down] = [5 * (x - before[0]) / length, 5 * (y - before[1]) / length];
  return `M${x - ahead + down / 2} ${y - down - ahead / 2}L${x} ${y}L${x - ahead - down / 2} ${y - down + ahead / 2}`;
};
// The part of a line that lies outside the strip that it starts in.
const outside = (points, { top, height, closed }) => {
  if (!closed) return points;
  const [low, high] = [shifted(top), shifted(top + height)];
  const at = points.findIndex(([, y]) => y < low || y > high);
  if (at < 1) return [];
  return [[points[at - 1][0], points[at][1] < low ? low : high], ...points.slice(at)];
};
const arrange = () => {
  bands.forEach((band, number) => {
    const move = shifted(band.top) - band.top;
    band.group.querySelector("rect").setAttribute("height", band.closed ? Math.min(STRIP, band.height) : band.height);
    const lift = band.closed ? (Math.min(STRIP, band.height) - band.height) / 2 : 0;
    band.group.setAttribute("transform", `translate(0 ${move})`);
    band.group.setAttribute("aria-expanded", !band.closed);
    for (const text of band.group.querySelectorAll("text")) text.setAttribute("transform", `translate(0 ${lift})`);
    for (const element of all(`.in-${number}`)) {
      element.classList.toggle("hidden", band.closed);
      element.setAttribute("transform", `translate(0 ${move})`);
    }
  });
  for (const edge of all(".between")) {
    const points = edge.dataset.points.split(" ").map((point) => point.split(",").map(Number));
    const [source, target] = edge.dataset.bands.split(" ").map((number) => bands[number]);
    const left = outside(points.map(([x, y]) => [x, shifted(y)]), source);
    const seen = outside(left.reverse(), target).reverse();
    edge.classList.toggle("hidden", seen.length < 2);
    if (seen.length > 1) edge.setAttribute("d", line(seen));
  }
};
for (const band of bands)
  button(band.group, [...band.group.querySelectorAll("text")].map((text) => text.textContent).join(", ") || "fold",
    () => { band.closed = !band.closed; arrange(); });
arrange();
