import axe from 'axe-core'
import type { Page } from 'playwright-core'

/**
 * The findings of axe on the page as it stands when nothing moves any more: what fades in has another contrast on its way. Each with the
 * elements it is about.
 */
export async function findViolations(page: Page): Promise<string[]> {
  await page.locator('.waits-for-marks').first().waitFor({ state: 'detached' })
  await page.evaluate(async () => {
    const ending = document.getAnimations().filter(({ effect }) => effect?.getComputedTiming().endTime !== Infinity)
    await Promise.allSettled(ending.map((one) => one.finished))
  })
  await page.evaluate(axe.source)
  const { violations } = await page.evaluate(async () => await (globalThis as unknown as { axe: typeof axe }).axe.run())
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`)
}
