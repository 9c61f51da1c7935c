"""Files in the shape of public data sets: their header lines, delimiters, dates, ids and labels, with made-up rows."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

_N = 1200


def _file(header: str, row: Callable[[int, random.Random], Iterable[object]], delimiter: str = ",") -> bytes:
    draw = random.Random(7)
    lines = [delimiter.join(map(str, row(i, draw))) for i in range(_N)]
    return "\n".join([*([header] if header else []), *lines, ""]).encode()


def _date(i: int, order: str) -> str:
    """Returns a date of the year 2015; the days go on with the rows."""
    day, month = 1 + i // 4 % 28, 1 + i // 112 % 12
    return order.format(d=day, m=month, y=2015)


def _booked(draw: random.Random) -> tuple[object, ...]:
    click = draw.random() < 0.3
    booking = click and draw.random() < 0.6
    return int(click), f"{draw.uniform(50, 500):.2f}" if booking else "NULL", int(booking)


def _canceled(i: int, draw: random.Random) -> tuple[object, ...]:
    canceled = draw.random() < 0.37
    status = draw.choice(["Canceled", "Canceled", "No-Show"]) if canceled else "Check-Out"
    return (
        int(canceled), draw.randint(0, 300), draw.choice([2015, 2016]), draw.choice(["July", "August", "May"]),
        draw.choice(["PRT", "GBR", "NULL"]), int(draw.random() < 0.1), draw.choice(["NULL", 240, 9, 14]),
        f"{draw.uniform(20, 200):.2f}", status, _date(i, "{y}-{m:02d}-{d:02d}"),
    )  # fmt: skip


def _spent(draw: random.Random) -> tuple[object, ...]:
    visit = draw.random() < 0.4
    conversion = visit and draw.random() < 0.5
    return int(visit), int(conversion), f"{draw.uniform(20, 300):.2f}" if conversion else "0.0"


CRITEO = _file(
    "",
    lambda i, r: (
        int(r.random() < 0.25),
        *(r.choice(["", r.randint(0, 40), r.randint(0, 4000)]) for _ in range(13)),
        *(r.choice(["", f"{r.randint(0, 60) * 7919 + 0x68FD1E64:08x}"]) for _ in range(26)),
    ),
    "\t",
)
OUTBRAIN = _file(
    "display_id,ad_id,clicked", lambda i, r: (i // 4 + 1, r.randint(1, 90) * 1001, int(i % 4 == i // 4 % 4))
)
EXPEDIA = _file(
    "srch_id,date_time,site_id,prop_id,prop_starrating,prop_review_score,position,price_usd,promotion_flag,"
    "srch_booking_window,click_bool,gross_bookings_usd,booking_bool",
    lambda i, r: (
        i // 5 + 1, f"{_date(i // 5, '{y}-{m:02d}-{d:02d}')} {i // 5 % 24:02d}:32:15", i // 5 % 6 + 1,
        r.randint(1, 70) * 1873, r.randint(1, 5), r.choice([3.5, 4.0, 4.5, "NULL"]), i % 5 + 1,
        f"{r.uniform(40, 400):.2f}", r.randint(0, 1), i // 5 * 7 % 60, *_booked(r),
    ),
)  # fmt: skip


TITANIC = _file(
    "PassengerId,Survived,Pclass,Name,Sex,Age,SibSp,Parch,Ticket,Fare,Cabin,Embarked",
    lambda i, r: (
        i + 1, int(r.random() < 0.4), r.randint(1, 3), f'"Braund{i}, Mr. Owen ""Harris"" {i}"',
        r.choice(["male", "female"]), r.choice(["", r.randint(1, 80)]), r.randint(0, 5), r.randint(0, 4),
        f"A/5 {r.randint(1000, 99999)}", f"{r.uniform(5, 300):.4f}", r.choice(["", "", f"C{r.randint(1, 99)}"]),
        r.choice("SCQ"),
    ),
)  # fmt: skip
HOTEL_BOOKINGS = _file(
    "hotel,is_canceled,lead_time,arrival_date_year,arrival_date_month,country,is_repeated_guest,agent,adr,"
    "reservation_status,reservation_status_date",
    lambda i, r: (
        r.choice(["Resort Hotel", "City Hotel"]), *_canceled(i, r),
    ),
)  # fmt: skip


ATTRITION = b"\xef\xbb\xbf" + _file(
    "Age,Attrition,BusinessTravel,DailyRate,EmployeeCount,EmployeeNumber,Gender,MonthlyIncome,Over18,OverTime,"
    "PerformanceRating,StandardHours,YearsAtCompany",
    lambda i, r: (
        r.randint(18, 60), r.choice(["Yes", "No", "No", "No"]), r.choice(["Travel_Rarely", "Non-Travel"]),
        r.randint(100, 1500), 1, 2 * i + 1 + r.randint(0, 1), r.choice(["Male", "Female"]), r.randint(1000, 20000), "Y",
        r.choice(["Yes", "No"]), r.choice([3, 3, 3, 4]), 80, r.randint(0, 40),
    ),
)  # fmt: skip
YELP = _file(
    "review_id,user_id,business_id,stars,useful,funny,cool,date",
    lambda i, r: (
        f"xQ{i:05x}Zr", f"u-{r.randint(0, 80)}", f"b_{r.randint(0, 60)}", r.randint(1, 5), r.choice([0, 0, 1, 3]),
        r.choice([0, 0, 0, 1]), r.choice([0, 0, 1]), f"{_date(i, '{y}-{m:02d}-{d:02d}')} 22:09:{i % 60:02d}",
    ),
)  # fmt: skip
FINE_FOODS = _file(
    "Id,ProductId,UserId,ProfileName,HelpfulnessNumerator,HelpfulnessDenominator,Score,Time,Summary",
    lambda i, r: (
        i + 1, f"B{r.randint(0, 70):09d}", f"A{r.randint(0, 90):012d}", f'"delmartian, ""{r.randint(0, 90)}"""',
        *sorted((r.randint(0, 3), r.randint(0, 5))), r.choice([1, 2, 3, 4, 5, 5, 5]), 1_303_862_400 + 86_400 * (i // 3),
        f'"Good, {r.randint(0, 10**6)} dogs"',
    ),
)  # fmt: skip
WINE = _file(
    '"fixed acidity";"volatile acidity";"citric acid";"residual sugar";"pH";"alcohol";"quality"',
    lambda i, r: (
        *(f"{r.uniform(0.1, 15):.2f}" for _ in range(5)), f"{r.uniform(8, 14):.9f}", r.choice([3, 4, 5, 5, 6, 6, 7, 8]),
    ),
    ";",
)  # fmt: skip
GERMAN_CREDIT = _file(
    "",
    lambda i, r: (
        f"A1{r.randint(1, 4)}", r.randint(4, 72), f"A3{r.randint(0, 4)}", r.randint(250, 18000), f"A6{r.randint(1, 5)}",
        r.randint(1, 4), f"A9{r.randint(1, 4)}", r.randint(19, 75), r.randint(1, 2), f"A20{r.randint(1, 2)}",
        r.choice([1, 1, 2]),
    ),
    " ",
)  # fmt: skip
STEAM = _file(
    "",
    lambda i, r: (
        151603712 + r.randint(0, 60), f'"Fallout, part {r.randint(0, 50)}"',
        *r.choice([("purchase", "1.0"), ("play", f"{r.uniform(0.1, 300):.1f}")]), 0,
    ),
)  # fmt: skip
AMAZON = _file(
    "",
    lambda i, r: (
        f"A{r.randint(0, 80):013d}", f"B{r.randint(0, 60):09d}", f"{r.choice([1, 2, 3, 4, 5, 5])}.0",
        1_365_811_200 + 86_400 * (i // 3),
    ),
)  # fmt: skip
HILLSTROM = _file(
    "recency,history_segment,history,mens,womens,zip_code,newbie,channel,segment,visit,conversion,spend",
    lambda i, r: (
        r.randint(1, 12), f'"{r.randint(1, 7)}) $100 - $200"', f"{r.uniform(30, 900):.2f}", r.randint(0, 1),
        r.randint(0, 1), r.choice(["Surburban", "Urban", "Rural"]), r.randint(0, 1), r.choice(["Web", "Phone"]),
        r.choice(["Mens E-Mail", "No E-Mail"]), *_spent(r),
    ),
)  # fmt: skip


TAOBAO = _file(
    "user,time_stamp,adgroup_id,pid,nonclk,clk",
    lambda i, r: (
        r.randint(1, 90) * 5813, 1_494_000_000 + 500 * i, r.randint(1, 60) * 4177,
        r.choice(["430548_1007", "430539_1007"]), *r.choice([(1, 0), (1, 0), (1, 0), (0, 1)]),
    ),
)  # fmt: skip
AVAZU = _file(
    "id,click,hour,C1,banner_pos,site_id,app_id,device_id,device_type,C14",
    lambda i, r: (
        f"{10**19 + r.randrange(10**18)}", int(r.random() < 0.2), f"1410{21 + i // 150:02d}{i // 6 % 24:02d}",
        r.choice([1005, 1002]), r.choice([0, 0, 1]), f"{r.randint(0, 40):08x}", f"{r.randint(0, 30):08x}",
        f"{r.randint(0, 300):08x}", r.choice([1, 0, 4]), r.randint(15700, 15800),
    ),
)  # fmt: skip
RETAIL = b"\xef\xbb\xbf" + _file(
    "InvoiceNo;StockCode;Description;Quantity;InvoiceDate;UnitPrice;CustomerID;Country;Country;;returned",
    lambda i, r: (
        536_365 + i // 6, f"{r.randint(0, 80) * 31 + 20000}{r.choice(['', 'A', 'B'])}", f"MUG {r.randint(0, 60)}",
        r.randint(1, 12), f"{_date(i, '{m}/{d}/{y}')} {8 + i % 10}:26", f"{r.uniform(1, 9):.2f}".replace(".", ","),
        r.choice(["", 12_346 + r.randint(0, 90)]), r.choice(["United Kingdom", "France", "EIRE"]), "UK", "",
        r.choice(["N", "N", "Y"]),
    ),
    ";",
)  # fmt: skip
