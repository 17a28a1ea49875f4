// Before anything is painted: the language and the colours that were chosen here, or those of the browser.
(() => {
  const kept = (name) => {
    try {
      return localStorage.getItem(`sesacctl.${name}`);
    } catch {
      return null; // storage may be forbidden
    }
  };
  const root = document.documentElement;
  const languages = navigator.languages?.length ? navigator.languages : [navigator.language ?? "en"];
  const first = languages.map((name) => name.slice(0, 2).toLowerCase()).find((name) => name === "ko" || name === "en");
  const language = kept("language");
  root.lang = language === "ko" || language === "en" ? language : (first ?? "en");
  const theme = kept("theme");
  root.dataset.theme = theme === "light" || theme === "dark" ? theme : "auto";
})();
