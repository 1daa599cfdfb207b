import { callEnd, callStart, saying, startProvider, streaming, textBlock } from '@verbatim/test-kit/provider'
import { expect, it } from 'vitest'
import { openBrowserPage } from '../support/browser-page.ts'

const refusal = streaming(callStart(), ...textBlock('I can'), ...callEnd('refusal'))

it(
  'the page says in words that the model refused, keeps what it said, and asks again on request',
  { timeout: 180_000 },
  async () => {
    await using provider = await startProvider(refusal, saying('Locks order writers.'))
    await using opened = await openBrowserPage(provider.url)
    const { page } = opened
    await page.goto(opened.url)
    await page.getByTestId('composer').fill('Explain locks')
    await page.getByTestId('send').click()
    const outcome = page.getByTestId('outcome')
    await outcome.waitFor()
    const words =
      'The model refused to answer. Later answers do not see this exchange; try again, or ask in other words.'
    expect(await outcome.innerText()).toBe(words)
    expect(await outcome.getAttribute('data-status')).toBe('refused')
    expect(await page.getByTestId('answer').innerText()).toContain('I can')

    // A page that loads the session afterwards says the same.
    await page.reload()
    await outcome.waitFor()
    expect(await outcome.innerText()).toBe(words)

    const again = page.getByTestId('regenerate')
    expect(await again.innerText()).toBe('Try again')
    await again.click()
    await expect.poll(async () => await page.getByTestId('answer').last().innerText()).toContain('Locks order writers.')
    await page.locator('[data-role=assistant][data-status=completed]').waitFor()
    const statuses = page.locator('[data-testid=message][data-role=assistant]')
    // The new answer takes the place of the refused one, and the prompt is not said twice.
    expect(await statuses.evaluateAll((all) => all.map((one) => one.getAttribute('data-status')))).toEqual([
      'completed',
    ])
    expect(await page.locator('[data-role=user]').count()).toBe(1)
    expect(provider.complaints).toEqual([])
    expect(provider.calls[1]?.body.messages).toMatchObject([{ role: 'user', content: [{ text: 'Explain locks' }] }])
  },
)
