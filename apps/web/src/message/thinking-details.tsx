/** What the model thought before it answered, folded away. */
export function ThinkingDetails({ thinking, isGrowing }: { thinking: string; isGrowing: boolean }) {
  return (
    <details className="fold" data-testid="thinking">
      <summary data-growing={isGrowing}>{isGrowing ? 'Thinking…' : 'Thoughts'}</summary>
      <div className="fold-body fold-text">{thinking}</div>
    </details>
  )
}
