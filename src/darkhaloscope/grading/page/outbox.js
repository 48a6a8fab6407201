// What the grader did and the server has not confirmed: kept by the browser, on its disk, and sent
// in order until the server says that it is saved. Each event has a key of its own, so that one
// sent twice is done once.

const PATIENCE_MS = 8000;
const WAITS_MS = [300, 600, 1200, 2500, 4000];

export class Outbox {
  // name : of the grades file and the grader
  // post : sends an event; resolves to the server's answer, or throws Refused or Away
  // told : called with what became of it: saving, kept (by the browser), saved, away, refused
  constructor(name, post, told) {
    Object.assign(this, { name, post, told, waiting: [], onDisk: new Set(), sending: false, db: null });
  }

  async open() {
    this.db = await opened(this.name).catch(() => null);
    this.waiting = this.db ? await all(this.db) : [];
    this.onDisk = new Set(this.waiting.map(({ key }) => key));
  }

  async add(event) {
    const entry = { key: crypto.randomUUID(), ...event };
    this.waiting.push(entry);
    this.told("saving", entry);
    if (this.db) {
      const written = kept(this.db, (store) => store.put({ ...entry, order: next() }));
      await written.then(() => this.onDisk.add(entry.key)).catch(() => {}); // then it waits in memory
    }
    this.told("kept", entry);
    this.send();
    return entry.key;
  }

  async send() {
    if (this.sending) return;
    this.sending = true;
    for (let tries = 0; this.waiting.length; ) {
      const entry = this.waiting[0];
      try {
        const answer = await this.post(entry);
        await this.drop(entry);
        this.told("saved", entry, answer);
        tries = 0;
      } catch (error) {
        if (error instanceof Refused && error.final) {
          await this.drop(entry);
          this.told("refused", entry, error.message);
        } else {
          this.told("away", entry, error.message);
          await pause(WAITS_MS[Math.min(tries++, WAITS_MS.length - 1)]);
        }
      }
    }
    this.sending = false;
  }

  async drop(entry) {
    if (this.db) await kept(this.db, (store) => store.delete(entry.key)).catch(() => {});
    this.waiting = this.waiting.filter((other) => other.key !== entry.key);
    this.onDisk.delete(entry.key);
  }
}

export class Away extends Error {}

export class Refused extends Error {
  // final : sending it again would not help
  constructor(message, status) {
    super(message);
    this.status = status;
    this.final = status >= 400 && status < 500 && status !== 403;
  }
}

export const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// An answer of the server. Throws Away if there is none, Refused if it is a refusal.
export async function ask(token, path, event) {
  const headers = { "X-Grade-Token": token };
  const options = { headers, cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) };
  if (event) {
    Object.assign(options, { method: "POST", body: JSON.stringify(event) });
    headers["Content-Type"] = "application/json";
  }
  const answer = await fetch(path, options).catch(() => {
    throw new Away("the server does not answer");
  });
  if (answer.ok) return answer;
  if (answer.status >= 500) throw new Away(`the server has a fault (${answer.status})`);
  const said = await answer.json().catch(() => ({}));
  throw new Refused(said.error ?? `refused (${answer.status})`, answer.status);
}

let last = 0;
const next = () => (last = Math.max(last + 1, Date.now() * 1000));

function opened(name) {
  const asked = indexedDB.open(name, 1);
  asked.onupgradeneeded = () => asked.result.createObjectStore("events", { keyPath: "key" });
  return answered(asked);
}

async function all(db) {
  const found = await answered(db.transaction("events").objectStore("events").getAll());
  return found.sort((a, b) => a.order - b.order).map(({ order, ...entry }) => entry);
}

function kept(db, change) {
  const done = db.transaction("events", "readwrite", { durability: "strict" });
  change(done.objectStore("events"));
  return new Promise((resolve, reject) => {
    done.oncomplete = resolve;
    done.onabort = done.onerror = () => reject(done.error);
  });
}

function answered(asked) {
  return new Promise((resolve, reject) => {
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });
}
