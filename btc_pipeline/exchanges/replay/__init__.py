"""An exchange served from a candle file or a made-up market: the demo, and the test bench of everything live."""
