// A front end of document 000: its class with a real supabase-js, and its subscription to events.
// Arguments: where packages are, the one to use, the service's address, the project's anonymous key, a user's token.
import { createRequire } from "node:module";

const [folder, name, url, key, token] = process.argv.slice(2);
const { createClient } = createRequire(folder)(name);

// Newer versions join before they know the user's token, and learn at a heartbeat that they have to join again.
const realtime = { heartbeatIntervalMs: 1000 };
const client = (token) => createClient(url, key, { realtime, accessToken: token && (async () => token) });
const supabase = client(token);

const told = [];
const events = new Promise((resolve) => {
  supabase
    .channel("wisely.events")
    .on("broadcast", { event: "*" }, (message) => {
      told.push({ event: message.event, payload: message.payload });
      if (message.event === "instructor_plan_completed") resolve(told);
    })
    .subscribe((status) => {
      if (status === "SUBSCRIBED") subscribed();
    });
});
let subscribed;
await new Promise((resolve) => (subscribed = resolve));

const refusal = async (call) => {
  try {
    return await call();
  } catch (error) {
    return { name: error.name, status: error.context.status, body: await error.context.json() };
  }
};

const learning = new LearningOrchestrator(supabase);
const before = await learning.getStatus();
const early = await refusal(() => learning.generateDayPlan(1, 1));
const intent = await learning.createIntent({
  topic: "Machine Learning",
  depth: "informed",
  end_goal: "Build production ML models",
  time_per_day_min: 60,
  user_tz: "America/New_York",
});
const plan = await learning.generateDayPlan(1, 3);
const unknown = await refusal(() => learning.completeDay("no-such-session", { completion_time_min: 45 }));
const done = await learning.completeDay(plan.session_id, {
  completion_time_min: 45,
  confidence: 7,
  notes: "Struggled with backpropagation but got the basic concept",
});
const status = await learning.getStatus();
const nobody = await refusal(() => new LearningOrchestrator(client()).getStatus());
console.log(JSON.stringify({ before, early, intent, plan, unknown, done, status, nobody, events: await events }));
await supabase.removeAllChannels();
process.exit(); // its timers would keep it for a while
