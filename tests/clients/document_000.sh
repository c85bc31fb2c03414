# The flow of document 000, to the letter; `curl` is told by the test where the project is.
# 1. Create intent
INTENT_RESPONSE=$(curl -s -X POST https://your-project.supabase.co/functions/v1/orchestrator/intent.sync \
  -H "Authorization: Bearer YOUR_JWT" \
  -H "X-User-ID: test-user" \
  -H "Content-Type: application/json" \
  -d '{"topic":"Test Topic","depth":"surface","end_goal":"Test Goal","time_per_day_min":30}')

INTENT_ID=$(echo $INTENT_RESPONSE | jq -r '.intent_id')

# 2. Generate day plan
DAY_RESPONSE=$(curl -s -X POST https://your-project.supabase.co/functions/v1/orchestrator/day.run \
  -H "Authorization: Bearer YOUR_JWT" \
  -H "X-User-ID: test-user" \
  -H "Content-Type: application/json" \
  -d '{"week":1,"day":1}')

SESSION_ID=$(echo $DAY_RESPONSE | jq -r '.session_id')

# 3. Complete day
curl -X POST https://your-project.supabase.co/functions/v1/orchestrator/day.done \
  -H "Authorization: Bearer YOUR_JWT" \
  -H "X-User-ID: test-user" \
  -H "Content-Type: application/json" \
  -d "{\"session_id\":\"$SESSION_ID\",\"completion_time_min\":25,\"confidence\":8}"

# 4. Check status
curl -s https://your-project.supabase.co/functions/v1/orchestrator/status \
  -H "Authorization: Bearer YOUR_JWT" \
  -H "X-User-ID: test-user" | jq '.'
