// All that servers ask the person just now.

import { Empty } from "../components/Empty.tsx";
import { questions } from "../store.ts";
import type { ViewProps } from "../shell/views.ts";
import { QuestionCard } from "./QuestionCard.tsx";

export default function Questions(_: ViewProps) {
  if (!questions.value.length)
    return (
      <Empty icon="question" title="Nobody asks anything">
        <h1 class="seen-by-readers">Questions</h1>
        <p>
          When a server asks for a form to be filled in, an address to be visited, an answer of your model, or your roots,
          it stands here, and beside the call that it belongs to.
        </p>
      </Empty>
    );
  return (
    <div class="detail">
      <h1>What servers ask</h1>
      {questions.value.map((each) => (
        <QuestionCard key={each.id} question={each} />
      ))}
    </div>
  );
}
