"""Pipelines written for Kubeflow; kfp reads annotations as they are, so this module keeps them."""

from kfp import dsl


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def numbers(n: int) -> list:
    return list(range(n))


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def train(i: int, out: dsl.Output[dsl.Model]) -> float:
    with open(out.path, "w") as file:
        file.write(str(i))
    out.metadata["i"] = i
    return float(i)


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def gather(models: dsl.Input[list[dsl.Model]], xs: list) -> str:
    return ",".join(open(m.path).read() + str(m.metadata["i"]) for m in models) + f"={sum(xs)}"


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def forgets(out: dsl.Output[dsl.Model]):
    pass


@dsl.pipeline(name="theirs")
def theirs(n: int = 3) -> str:
    made = numbers(n=n)
    with dsl.ParallelFor(made.output, parallelism=2) as i:
        one = train(i=i)
    return gather(models=dsl.Collected(one.outputs["out"]), xs=dsl.Collected(one.outputs["Output"])).output


@dsl.pipeline(name="empty")
def empty():
    forgets()
