// Watches one session through whatever happens to the service: one line per event, its id and its JSON.
const events = new EventSource(`/api/sessions/${process.argv[2]}/run`);
events.onmessage = (event) => {
  console.log(event.lastEventId, event.data);
  if (["final", "error"].includes(JSON.parse(event.data).type)) {
    events.close();
  }
};
