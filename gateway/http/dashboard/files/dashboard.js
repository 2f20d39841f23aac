// The page is written by the gateway; this keeps it fresh. Events come over the gateway's own
// WebSocket (protocol.md §3, §7), actions are its RPC methods, and there is no second protocol.
"use strict";

const EVENTS = ["heartbeat", "cron", "health", "chat", "sessions.changed"];
const SOONEST = 1000; // between two refreshes, in milliseconds
const OFTEN = 30000; // relative times grow old
const LONGEST = 30000; // between two attempts to connect

function say(words, tone = "") {
  const line = document.getElementById("line");
  line.textContent = words;
  line.className = `line ${tone}`;
}

// -- coming in: the code stands behind the #, so no server and no log ever sees it ----------

async function enter(code) {
  const said = document.getElementById("said");
  said.textContent = "…";
  try {
    const answer = await fetch("/dashboard/visit", {
      method: "POST",
      headers: { "Content-Type": "application/x-www-form-urlencoded" },
      body: new URLSearchParams({ code }),
    });
    if (answer.ok) return location.replace("/");
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const why = page.getElementById("said");
    said.textContent = why ? why.textContent : `refused (${answer.status})`;
  } catch (error) {
    said.textContent = `the gateway does not answer: ${error.message}`;
  }
}

// -- being there --------------------------------------------------------------------------

const page = {
  socket: null,
  wait: 1000,
  asked: new Map(),
  number: 0,
  due: null,

  connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.socket = new WebSocket(`${scheme}://${location.host}/`);
    this.socket.onmessage = (message) => this.heard(JSON.parse(message.data));
    this.socket.onclose = (end) => this.lost(end);
  },

  heard(frame) {
    if (frame.type === "res") {
      const waits = this.asked.get(frame.id);
      this.asked.delete(frame.id);
      if (waits) (frame.ok ? waits.yes(frame.payload) : waits.no(frame.error));
    } else if (frame.event === "connect.challenge") {
      this.greet();
    } else if (frame.event === "shutdown") {
      say(`the gateway is leaving: ${frame.payload.reason}`, "warn");
    } else if (EVENTS.includes(frame.event)) {
      this.soon();
    }
  },

  call(method, params) {
    const id = String((this.number += 1));
    return new Promise((yes, no) => {
      if (!this.socket || this.socket.readyState !== WebSocket.OPEN) {
        return no({ message: "not connected" });
      }
      this.asked.set(id, { yes, no });
      this.socket.send(JSON.stringify({ type: "req", id, method, params }));
    });
  },

  async greet() {
    try {
      await this.call("connect", {
        minProtocol: 4,
        maxProtocol: 4,
        client: {
          id: "openclaw-control-ui", mode: "ui", version: "1", platform: "web",
          displayName: "status page",
        },
        role: "operator",
        scopes: ["operator.read", "operator.write"],
        caps: [`engine.events:${EVENTS.join(",")}`],
      });
      this.wait = 1000;
      document.body.dataset.live = "yes";
      say("live");
      this.soon();
    } catch (error) {
      say(error.message, "warn"); // the close that follows says when it is tried again
    }
  },

  lost(end) {
    delete document.body.dataset.live;
    for (const waits of this.asked.values()) waits.no({ message: "the connection ended" });
    this.asked.clear();
    const why = end.reason || (end.code === 1006 ? "the gateway does not answer" : `code ${end.code}`);
    say(`not live: ${why}; tries again in ${Math.round(this.wait / 1000)} s`, "warn");
    setTimeout(() => this.connect(), this.wait);
    this.wait = Math.min(this.wait * 2, LONGEST);
    if (end.code === 4001 || end.code === 1008) this.soon(); // the visit may have ended
  },

  soon() {
    if (this.due === null) this.due = setTimeout(() => this.refresh(), SOONEST);
  },

  async refresh() {
    this.due = null;
    try {
      const answer = await fetch("/", { headers: { Accept: "text/html" } });
      if (answer.status === 401) return location.reload();
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      const main = fresh.getElementById("main");
      if (!main) return;
      document.title = fresh.title;
      swap(document.getElementById("main"), main);
    } catch (error) {
      // The socket tells it too, with the reason.
    }
  },
};

// Sections that stayed the same are left alone: a finger on a button does not miss it.
function swap(old, fresh) {
  for (const section of fresh.children) {
    const mine = section.id && document.getElementById(section.id);
    if (mine && !mine.isEqualNode(section)) mine.replaceWith(document.adoptNode(section.cloneNode(true)));
  }
}

async function act(button) {
  button.disabled = true;
  try {
    await page.call(button.dataset.method, JSON.parse(button.dataset.params));
    say(button.dataset.said);
    page.soon();
  } catch (error) {
    say(error.message, "warn");
  } finally {
    button.disabled = false;
  }
}

const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) history.replaceState(null, "", location.pathname); // nobody finds it in the history
if (document.body.dataset.visit) {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-method]");
    if (button) act(button);
  });
  setInterval(() => document.hidden || page.soon(), OFTEN);
  document.addEventListener("visibilitychange", () => document.hidden || page.soon());
  page.connect();
} else if (given) {
  enter(given);
}
