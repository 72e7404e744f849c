// News from the server: each event tells only what has changed since the one before.

const AGAIN_MS = 3000;

export class Feed {
  /** onNews(message, first): what is new; first: what was known before is void. onLink(text, alive). */
  constructor(onNews, onLink) {
    this.onNews = onNews;
    this.onLink = onLink;
    this.source = null;
    this.timer = 0;
    this.keys = [];
    // A browser has six connections to a server, for all its tabs: those that nobody sees give theirs back.
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.#stop();
      else this.follow(this.keys);
    });
  }

  #stop() {
    clearTimeout(this.timer);
    this.source?.close();
  }

  /** Follow these regions patch by patch, and all of them from afar. */
  follow(keys) {
    this.#stop();
    this.keys = keys;
    const query = keys.map((key) => `region=${key}`).join("&");
    const source = new EventSource(`/events?${query}`);
    let first = true;
    this.source = source;
    source.addEventListener("open", () => {
      first = true;
      this.onLink("connected", true);
    });
    source.addEventListener("message", (event) => {
      this.onNews(JSON.parse(event.data), first);
      first = false;
    });
    source.addEventListener("error", () => {
      this.onLink("connection lost; trying again …", false);
      // Closed for good: it was refused. The browser itself tries again what broke off.
      if (source.readyState === EventSource.CLOSED) this.#askWhy(keys);
    });
  }

  async #askWhy(keys) {
    try {
      const answer = await fetch("/legend");
      if (answer.status === 401) {
        location.assign("/login");
        return;
      }
      this.onLink("refused: too many look at once? trying again …", false);
    } catch {
      // the server is away
    }
    this.timer = setTimeout(() => this.follow(keys), AGAIN_MS);
  }
}
