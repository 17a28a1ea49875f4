// One stream of looks that comes back by itself, with pauses that grow, whatever ended it.

const FIRST_PAUSE = 1;
const LONGEST_PAUSE = 10;
const SILENCE_SECONDS = 20;

/** Reports `{kind: "look", look}`, `{kind: "open"}`, `{kind: "lost", seconds}` and `{kind: "refused"}`. */
export class Connection {
  constructor(report) {
    this.report = report;
    this.source = null;
    this.timer = null;
    this.pause = FIRST_PAUSE;
    this.newest = null;
    this.heard = 0;
  }

  /** Connect; `stop` ends it. */
  start() {
    this.watch ??= setInterval(() => this.checkSilence(), 1000);
    this.open();
  }

  stop() {
    clearInterval(this.watch);
    clearTimeout(this.timer);
    this.watch = null;
    this.source?.close();
    this.source = null;
  }

  open() {
    this.heard = Date.now();
    const source = new EventSource(this.newest === null ? "/events" : `/events?after=${this.newest}`);
    this.source = source;
    source.onopen = () => this.report({ kind: "open" });
    source.onerror = () => this.lost();
    source.addEventListener("look", (event) => {
      this.heard = Date.now();
      this.pause = FIRST_PAUSE;
      const look = JSON.parse(event.data);
      this.newest = Math.max(this.newest ?? 0, look.id);
      this.report({ kind: "look", look });
    });
  }

  // The browser's own way gives up for good at some errors, and tells nobody when it tries again.
  lost() {
    this.source?.close();
    this.source = null;
    clearTimeout(this.timer);
    this.report({ kind: "lost", seconds: this.pause });
    this.timer = setTimeout(() => this.open(), this.pause * 1000);
    this.pause = Math.min(2 * this.pause, LONGEST_PAUSE);
    this.askWhy();
  }

  async askWhy() {
    try {
      const answer = await fetch("/look", { method: "HEAD", cache: "no-store" });
      if (answer.status === 401 || answer.status === 403) this.report({ kind: "refused" });
    } catch {
      // It does not answer at all: that is what has been reported.
    }
  }

  // A network that is gone closes nothing: looks come every second, so silence means the same.
  checkSilence() {
    if (this.source !== null && Date.now() - this.heard > SILENCE_SECONDS * 1000) this.lost();
  }
}
