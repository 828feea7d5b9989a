"""The unrolled methods as rows of the table of gradient methods. No torch here."""

from estimators.gradient.methods import SURVEY, GradientMethod
from estimators.gradient.record import Estimator

_FUNCTIONS = "estimators.gradient.unroll"

UNROLLED = (
    GradientMethod(
        name="tracin_ideal",
        title="TracIn's ideal form: the fall of the test loss at each step, batches of one",
        formula="sum over steps with i of L_j(theta before) - L_j(theta after)",
        paper="Pruthi, Liu, Kale and Sundararajan, NeurIPS 2020",
        equation=f"{SURVEY}, equation 49",
        scale="loss",
        needs="every step",
        runner="unroll",
        function=f"{_FUNCTIONS}.in_run.tracin_ideal",
    ),
    GradientMethod(
        name="hydra_fast",
        title="HyDRA without curvature: TracIn with the last test gradient, through momentum and penalty",
        formula="sum over steps with i in the batch of c_t / b_t g_i g_j(theta_T), c_t = eta_t without momentum",
        paper="Chen, Li, Yu, Wu and Miao, AAAI 2021",
        equation=f"{SURVEY}, equations 62 and 80",
        scale="loss",
        needs="every step",
        estimator=Estimator(name="hydra_fast", weights="batch", test_at="last"),
    ),
    GradientMethod(
        name="hydra",
        title="HyDRA: the derivative of the run forwards, instance by instance",
        formula="- g_j(theta_T) d theta_T / d w_i, batches frozen",
        paper="Chen, Li, Yu, Wu and Miao, AAAI 2021",
        equation=f"{SURVEY}, equations 57 to 79 without the last term of 79",
        scale="loss",
        needs="every step",
        runner="unroll",
        function=f"{_FUNCTIONS}.influence.hydra",
    ),
    GradientMethod(
        name="sgd_influence",
        title="SGD-Influence: the same derivative backwards, test by test, through momentum and Adam",
        formula="- d L_j(theta_T) / d w_i, batches frozen",
        paper="Hara, Nitanda and Maehara, NeurIPS 2019",
        equation=f"{SURVEY}, section 5.2.2.3",
        scale="loss",
        needs="every step",
        runner="unroll",
        function=f"{_FUNCTIONS}.influence.sgd_influence",
    ),
    GradientMethod(
        name="source",
        title="Source: the run's derivative by segments of steady curvature",
        formula="(1/n) g_j sum_l prod_(l' > l) exp(-eta K H)_l' (1 - exp(-eta_l K_l H_l)) H_l^-1 gbar_l,i",
        paper="Bae, Lin, Lorraine and Grosse, NeurIPS 2024",
        equation="",
        scale="loss",
        needs="checkpoints",
        runner="unroll",
        function=f"{_FUNCTIONS}.source.source_influence",
    ),
    GradientMethod(
        name="in_run_shapley_first",
        title="In-Run Data Shapley of first order",
        formula="sum over steps with i in the batch of (eta_t / b_t) g_i g_j",
        paper="Wang, Mittal, Song and Jia, ICLR 2025",
        equation="",
        scale="loss",
        needs="every step",
        estimator=Estimator(name="in_run_shapley_first", weights="batch"),
    ),
    GradientMethod(
        name="in_run_shapley",
        title="In-Run Data Shapley of second order",
        formula="sum over steps of (eta/b) g_i g_j - (1/2) (eta/b)^2 g_i H_j sum_(k in batch) g_k",
        paper="Wang, Mittal, Song and Jia, ICLR 2025",
        equation="",
        scale="loss",
        needs="every step",
        runner="unroll",
        function=f"{_FUNCTIONS}.in_run.in_run_shapley",
    ),
)
