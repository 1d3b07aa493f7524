// The theme's arrows that unfold a chapter have no name for screen readers.
document.querySelectorAll("li.has-children").forEach((chapter) => {
  const name = chapter.querySelector(":scope > a")?.textContent.trim();
  chapter.querySelector(":scope > details > summary")?.setAttribute("aria-label", `Pages of ${name}`);
});
