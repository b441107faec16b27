"""A script as users write them: pyright reads it, strictly, in `make check`; nothing runs it."""

from pathlib import Path

import cldfc


def main() -> None:
    spec = cldfc.load("preact18_Al").let("c@ℓ = 8, 8, 16, 16", nu=[1, 1, 1, 1]).tie("B@ℓ")
    for listed in cldfc.specs():
        print(listed.name, listed.params)
    run = spec.train("digits", epochs=2, lr=0.1, output=Path("x"), recipe={"clip": 1.0})
    again: cldfc.Run = cldfc.load_run(run.path)
    best = max(again.metrics, key=lambda row: row.test_accuracy)
    print(best.epoch + 1, best.validation_accuracy or 0.0, again.recipe.lr, again.record.dataset, again.state)
    network = again.network()
    print(sum(parameter.numel() for parameter in network.parameters()))
    found = again.predict(["a.png", Path("b.png")])
    print(found.probabilities.shape, found.names[0].upper(), found.classes.shape)
    print(again.evaluate(on="test").accuracy, again.spec.cost.parameters, again.spec.source().count("x"))
    try:
        again.resume(epochs=3)
    except cldfc.Stopped as stopped:
        print(stopped.folder)
    except cldfc.UsageError as error:
        print(error.message, error.help)
    except cldfc.CldfError as error:
        print(error.diagnostics[0].code)


main()
