const SETTLED = ["COMPLETED", "FAILED", "CANCELED", "REJECTED"].map((name) => `TASK_STATE_${name}`);

/** Shows what happens to a task that runs, until it settles. The browser itself connects again and resumes. */
export function follow(baseUrl, taskId, show) {
  const source = new EventSource(`${baseUrl}/tasks/${taskId}:subscribe`);
  return new Promise((resolve, reject) => {
    source.onmessage = ({ data, lastEventId }) => {
      const event = JSON.parse(data);
      show({ sequence: Number(lastEventId), ...event });
      const { status } = event.task ?? event.statusUpdate ?? {};
      if (SETTLED.includes(status?.state)) {
        // Otherwise it would connect again, and again.
        source.close();
        resolve();
      }
    };
    source.onerror = ({ data }) => {
      // A lost connection has no data, and is made up for unless it was refused.
      if (data || source.readyState === EventSource.CLOSED) {
        source.close();
        reject(new Error(data ? JSON.parse(data).error.message : "refused"));
      }
    };
  });
}
