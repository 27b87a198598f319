// The page is whole without this: it only filters the matrix and opens what a link points at.
(function () {
  "use strict";
  function reveal() {
    var at = document.getElementById(location.hash.slice(1));
    if (!at) return;
    for (var up = at; up; up = up.parentElement) if (up.tagName === "DETAILS") up.open = true;
    at.scrollIntoView();
  }
  addEventListener("hashchange", reveal);
  if (location.hash) reveal();
  var label = document.querySelector(".filter");
  if (!label) return;
  label.hidden = false;
  label.querySelector("input").addEventListener("input", function (event) {
    var wanted = event.target.value.trim().toLowerCase();
    document.querySelectorAll("table.heat > tbody").forEach(function (body) {
      if (body.className === "kind") { body.hidden = wanted !== ""; return; }
      body.hidden = body.querySelector("th").textContent.toLowerCase().indexOf(wanted) < 0;
    });
  });
})();
