// Gives Node what a page of the service has: addresses relative to it, and EventSource.
import { EventSource as NodeEventSource } from "eventsource";

const origin = process.env.ORIGIN;
const nodeFetch = globalThis.fetch;

globalThis.fetch = (address, options) => nodeFetch(new URL(address, origin), options);
globalThis.EventSource = class extends NodeEventSource {
  constructor(address, options) {
    super(new URL(address, origin), options);
  }
};
