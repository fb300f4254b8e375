/* SPDX-License-Identifier: Apache-2.0 */
"use strict";
// What plots of the task page and of the class page share.

const MANY = 400; // rows, from which on plots have no whiskers and are painted instead of drawn
const SHAPES = {
  circle: "M5,0A5,5,0,1,1,-5,0A5,5,0,1,1,5,0",
  square: "M-4.5,-4.5h9v9h-9z",
  cross: "M-5,-2h3v-3h4v3h3v4h-3v3h-4v-3h-3z",
  diamond: "M0,-5.5L5.5,0L0,5.5L-5.5,0z",
  "triangle-up": "M0,-5L5,5L-5,5z",
  "triangle-down": "M0,5L5,-5L-5,-5z",
  "triangle-right": "M5,0L-5,5L-5,-5z",
  "triangle-left": "M-5,0L5,5L5,-5z",
};

/** An element with properties and children; strings become text. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element && name !== "list") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** A list of what colours and shapes mean, from [text, {colour, shape}]. */
function legend(entries) {
  const SVG = "http://www.w3.org/2000/svg";
  return entries.map(([text, { colour, shape }]) => {
    const svg = document.createElementNS(SVG, "svg");
    const path = document.createElementNS(SVG, "path");
    svg.setAttribute("viewBox", "-6 -6 12 12");
    svg.setAttribute("aria-hidden", "true");
    path.setAttribute("d", SHAPES[shape]);
    path.setAttribute("fill", readable(colour));
    svg.append(path);
    return make("li", {}, svg, text);
  });
}

/** Black is the page's own colour of text, so that it is seen in the dark. */
const readable = (colour) => (colour === "#000000" ? getComputedStyle(document.body).color : colour);

/** Lets the page answer to its reader between two long steps. */
const pause = () => new Promise((done) => setTimeout(done));

const dark = () => document.body.dataset.mdColorScheme === "slate";

/** Calls ``draw`` whenever light turns to dark or back. */
function onTurn(draw) {
  new MutationObserver(draw).observe(document.body, { attributes: true, attributeFilter: ["data-md-color-scheme"] });
}

/** Vega's colours: those of the page. */
function theme() {
  const style = getComputedStyle(document.body);
  const text = style.color;
  const faint = style.getPropertyValue("--md-default-fg-color--lightest").trim();
  const axis = { labelColor: text, titleColor: text, gridColor: faint, domainColor: faint, tickColor: faint, labelFontSize: 11 };
  return {
    background: "transparent", font: style.fontFamily, axis, title: { color: text, subtitleColor: text }, text: { color: text },
    legend: { labelColor: text, titleColor: text, labelLimit: 0 }, view: { stroke: faint },
  };
}

/** Draw a specification; ``count``: how many points it has. */
function embed(element, spec, count) {
  return window.vegaEmbed(element, spec, {
    actions: false,
    logLevel: 1, // errors only: where nothing fits, the front has no extent
    renderer: count > MANY ? "canvas" : "svg",
    tooltip: { theme: dark() ? "dark" : "light" },
  });
}

/** The class page: the panels of every family. */
function drawCurves(curves) {
  for (const element of document.querySelectorAll("div.classes")) {
    element.replaceChildren();
    for (const panel of curves[element.dataset.family]) {
      const spec = JSON.parse(JSON.stringify(panel).replaceAll('"#000000"', JSON.stringify(readable("#000000"))));
      const place = element.appendChild(make("div", { className: "plot" }));
      embed(place, { ...spec, config: theme() }, 0);
    }
  }
}

const data = JSON.parse(document.getElementById("explore-data").textContent);
if (data.curves) {
  drawCurves(data.curves);
  onTurn(() => drawCurves(data.curves));
}
