import { acknowledgeDamage, JOURNAL_DAMAGE, problems } from "../live/health";

/** What is wrong with the process, above everything else; nothing where nothing is. */
export function Health() {
  if (problems.value.length === 0) return null;
  return (
    <div class="health" role="alert">
      {problems.value.map(({ part, problem }) => (
        <p key={part}>
          <strong>{part}</strong> {problem}
          {part === JOURNAL_DAMAGE && (
            <button class="button" onClick={() => void acknowledgeDamage()}>
              Acknowledge
            </button>
          )}
        </p>
      ))}
    </div>
  );
}
