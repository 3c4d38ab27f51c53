"""Every indicator once more, a bar at a time in plain Python: the yardstick for the vectorised ones.

It knows the definitions (bounded window, seeds, order of additions), not the product's code, except for how long a
window is: that is given.
"""

from __future__ import annotations

from math import sqrt


def bars_used(slot: list[int], usable: list[bool], t: int, window: int, warm_up: int) -> int:
    """The rule as design.md says it: the largest m whose last m bars span few enough slots and are usable enough."""
    for m in range(min(window, t + 1), warm_up - 1, -1):
        first = t - m + 1
        allowed = max(2, m * 5 // 100)
        if slot[t] - slot[first] + 1 <= m + allowed and usable[first : t + 1].count(False) <= allowed:
            return m
    return 0


class Market:
    """The columns of bars as Python integers."""

    def __init__(self, bars):
        price, volume = 10**bars.scale.price, 10**bars.scale.volume
        self.unit, self.volume_unit = price, volume
        self.high, self.low, self.close = (
            [round(value * price) for value in column.tolist()] for column in (bars.high, bars.low, bars.close)
        )
        self.volume = [round(value * volume) for value in bars.volume.tolist()]
        self.slot = [time // bars.interval.minutes for time in bars.time.tolist()]
        self.usable = bars.usable.tolist()

    def each(self, window, warm_up, values_of):
        """`values_of(first, t)` gives the outputs at bar t from the bars first..t; here for every bar."""
        rows = []
        for t in range(len(self.slot)):
            m = bars_used(self.slot, self.usable, t, window, warm_up)
            values = values_of(t - m + 1, t) if m else {}
            rows.append({name: (value, m == window) for name, value in values.items()})
        return rows


def sma(market, period):
    def at(first, t):
        return {"value": sum(market.close[first : t + 1]) / (period * market.unit)}

    return market.each(period, period, at)


def volume_average(market, period):
    def at(first, t):
        return {"value": sum(market.volume[first : t + 1]) / (period * market.volume_unit)}

    return market.each(period, period, at)


def smoothed(values, seed, alpha):
    state = seed
    for value in values:
        state = state + alpha * (value - state)
    return state


def ema(market, period, window):
    def at(first, t):
        seed = sum(market.close[first : first + period]) / (period * market.unit)
        closes = [ticks / market.unit for ticks in market.close[first + period : t + 1]]
        return {"value": smoothed(closes, seed, 2 / (period + 1))}

    return market.each(window, period, at)


def macd(market, fast, slow, signal, window):
    def at(first, t):
        start = first + slow - 1
        a = sum(market.close[start - fast + 1 : start + 1]) / (fast * market.unit)
        b = sum(market.close[first : start + 1]) / (slow * market.unit)
        line = [a - b]
        for ticks in market.close[start + 1 : t + 1]:
            a = smoothed([ticks / market.unit], a, 2 / (fast + 1))
            b = smoothed([ticks / market.unit], b, 2 / (slow + 1))
            line.append(a - b)
        seed = 0.0
        for value in line[:signal]:
            seed += value
        result = smoothed(line[signal:], seed / signal, 2 / (signal + 1))
        return {"value": line[-1], "signal": result, "histogram": line[-1] - result}

    return market.each(window, slow + signal - 1, at)


def rsi(market, period, window):
    def at(first, t):
        moves = [market.close[i] - market.close[i - 1] for i in range(first + 1, t + 1)]
        averages = []
        for side in ([max(move, 0) for move in moves], [max(-move, 0) for move in moves]):
            seed = sum(side[:period]) / (period * market.unit)
            averages.append(smoothed([ticks / market.unit for ticks in side[period:]], seed, 1 / period))
        gain, loss = averages
        return {"value": 100 * (gain / (gain + loss)) if gain + loss else 0.0}

    return market.each(window, period + 1, at)


def stochastic(market, k_period, k_smoothing, d_period):
    def fast_k(t):
        high = max(market.high[t - k_period + 1 : t + 1])
        low = min(market.low[t - k_period + 1 : t + 1])
        return 100 * ((market.close[t] - low) / (high - low)) if high > low else 0.0

    def mean(function, t, length):
        total = 0.0
        for i in range(t - length + 1, t + 1):
            total += function(i)
        return total / length

    def slow_k(t):
        return mean(fast_k, t, k_smoothing)

    def at(_, t):
        return {"value": slow_k(t), "d": mean(slow_k, t, d_period)}

    window = k_period + k_smoothing + d_period - 2
    return market.each(window, window, at)


def true_range(market, t):
    before = market.close[t - 1]
    return max(market.high[t], before) - min(market.low[t], before)


def atr(market, period, window):
    def at(first, t):
        ranges = [true_range(market, i) for i in range(first + 1, t + 1)]
        seed = sum(ranges[:period]) / (period * market.unit)
        return {"value": smoothed([ticks / market.unit for ticks in ranges[period:]], seed, 1 / period)}

    return market.each(window, period + 1, at)


def deviation(market, period, t):
    window = market.close[t - period + 1 : t + 1]
    squares = 0.0
    for ticks in window:
        apart = float(period * ticks - sum(window))
        squares += apart * apart
    return sqrt(squares / period) / (period * market.unit)


def bollinger(market, period, deviations, keltner_multiple):
    def bands(_, t):
        middle = sum(market.close[t - period + 1 : t + 1]) / (period * market.unit)
        half = deviations * deviation(market, period, t)
        return {"value": middle, "upper": middle + half, "lower": middle - half}

    def squeeze(first, t):
        mean_range = sum(true_range(market, i) for i in range(first + 1, t + 1)) / (period * market.unit)
        inside = deviations * deviation(market, period, t) < keltner_multiple * mean_range
        return {"squeeze": 1.0 if inside else 0.0}

    both = zip(market.each(period, period, bands), market.each(period + 1, period + 1, squeeze), strict=True)
    return [{**a, **b} for a, b in both]
