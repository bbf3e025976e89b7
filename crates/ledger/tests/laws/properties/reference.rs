//! The reference implementation of the laws, as simple as possible: it visits every relevant instant in order,
//! with all facts in memory. It shares no code with the engine. It has its own months and amounts (billionths
//! in an i128), and derives no state that it could store.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use flashgate_ledger::catalog::{BillingPeriod, Catalog, PackPurchases, PaymentMode, Rate};
use flashgate_ledger::facts::{
    Adjustment, PackOrder, Payment, PaymentState, Renewal, Report, Request, Subscription,
};
use flashgate_testing::change::Change;

const DAY: i64 = 86_400;

/// The results of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Granted, purchased, adjusted, consumed, expired, refunded.
    pub(crate) totals: [i128; 6],
    pub(crate) debt: i128,
    /// Number, start and plan of every period, and true if it is yearly.
    pub(crate) periods: Vec<(u32, i64, String, bool)>,
    /// Remaining credits of each unexpired grant.
    pub(crate) grants: BTreeMap<String, i128>,
    /// The outcome of each object, by UID.
    pub(crate) said: BTreeMap<String, String>,
    /// State of every invoice.
    pub(crate) invoices: Vec<String>,
    /// The sums of each period: granted, purchased, adjusted, refunded, consumed, expired.
    pub(crate) books: BTreeMap<u32, Book>,
}

pub(crate) type Book = [i128; 6];

/// A line of a [`Book`].
#[derive(Clone, Copy)]
enum Line {
    Granted,
    Purchased,
    Adjusted,
    Refunded,
    Consumed,
    Expired,
}

struct Grant {
    id: String,
    /// 0 plan, 1 adjustment, 2 pack: also their order among equals.
    kind: usize,
    given: i128,
    left: i128,
    from: i64,
    until: Option<i64>,
    has_expired: bool,
}

/// The terms of a plan and billing period at the time of the request.
#[derive(Clone, Debug, PartialEq)]
struct Terms {
    credits: i128,
    price: i128,
    lapses_to: Option<String>,
    allows_packs: bool,
}

#[derive(Clone, Debug)]
struct Period {
    number: u32,
    end: i64,
    request: Request,
    anchor: i64,
    months: i64,
    terms: Terms,
    /// Due time, while it is not paid.
    due: Option<i64>,
}

#[derive(Clone, Debug, PartialEq)]
enum For {
    Change(Request, Terms),
    Renewal,
    Pack(PackOrder),
}

#[derive(Clone, Debug)]
struct Invoice {
    purpose: For,
    reason: &'static str,
    amount: i128,
    state: &'static str,
    due: i64,
    grant: Option<String>,
}

struct Order {
    pack: PackOrder,
    credits: i128,
    expires_after_days: Option<u32>,
    state: &'static str,
    /// Objects of that name that are pending until its payment.
    waiting: Vec<String>,
}

/// All charged windows and all closed gaps of a source.
#[derive(Default)]
struct Covered {
    charged: Vec<(i64, i64)>,
    closed: Vec<(i64, i64)>,
    /// Returns the number of stretches.
    count: usize,
}

pub(crate) struct Reference<'a> {
    catalog: &'a Catalog,
    now: i64,
    /// True if the boundary of this instant has taken effect.
    after_boundary: bool,
    /// The Subscription at this instant.
    subscription: Option<Subscription>,
    /// Start of the account by its Subscription, and the time at which that took effect.
    start: Option<(i64, i64)>,
    uid: String,
    period: Option<Period>,
    number: u32,
    seen: Option<Request>,
    /// True if the catalog does not have the last request.
    seen_unknown: bool,
    /// The request that lapsed or whose invoice became void.
    inert: Option<Request>,
    has_lapsed: bool,
    grants: Vec<Grant>,
    debt: i128,
    consumed: i128,
    refunded: i128,
    covered: BTreeMap<String, Covered>,
    orders: BTreeMap<String, Order>,
    /// The last 64 refusals of packs, of payments and of adjustments.
    refused: Vec<(String, String)>,
    given: BTreeMap<String, i128>,
    invoices: Vec<Invoice>,
    reports: Vec<Report>,
    packs: Vec<PackOrder>,
    /// UIDs of packs whose Subscription existed. They are pending only until the first period.
    found: BTreeSet<String>,
    adjustments: Vec<Adjustment>,
    payments: Vec<Payment>,
    /// Number, start and end of every period so far.
    windows: Vec<(u32, i64, i64)>,
    /// Sums that were booked while there was no period.
    carried: Book,
    out: Outcome,
}

/// Applies `objects` up to `until`. The first of `editions` is the catalog at the start.
pub(crate) fn play(editions: &[Catalog], changes: &[(i64, Vec<Change>)], until: i64) -> Outcome {
    let mut reference = Reference::new(editions);
    let mut coming: Vec<(i64, Vec<Change>)> = changes.to_vec();
    coming.reverse();
    loop {
        let next = coming.last().map(|(time, _)| *time);
        let own = reference.next_instant();
        let Some(now) = next.into_iter().chain(own).min().filter(|now| *now <= until) else { break };
        reference.now = now;
        let created = if next == Some(now) { coming.pop().map(|(_, objects)| objects) } else { None };
        for object in created.unwrap_or_default() {
            match object {
                Change::Subscription(subscription) => reference.subscription = Some(subscription),
                Change::Unsubscribed => reference.subscription = None,
                Change::Catalog(edition) => reference.catalog = &editions[edition],
                Change::Report(report) => reference.reports.push(report),
                Change::Pack(pack) => reference.packs.push(pack),
                Change::Adjustment(adjustment) => reference.adjustments.push(adjustment),
                Change::Payment(payment) => reference.payments.push(payment),
                Change::Deleted(kind, name) => unreachable!("no script deletes {kind:?} {name}"),
            }
        }
        reference.instant();
    }
    reference.finish()
}

impl<'a> Reference<'a> {
    fn new(editions: &'a [Catalog]) -> Self {
        Self {
            catalog: &editions[0],
            now: 0,
            after_boundary: false,
            subscription: None,
            start: None,
            uid: String::new(),
            period: None,
            number: 0,
            seen: None,
            seen_unknown: false,
            inert: None,
            has_lapsed: false,
            grants: Vec::new(),
            debt: 0,
            consumed: 0,
            refunded: 0,
            covered: BTreeMap::new(),
            orders: BTreeMap::new(),
            refused: Vec::new(),
            given: BTreeMap::new(),
            invoices: Vec::new(),
            reports: Vec::new(),
            packs: Vec::new(),
            found: BTreeSet::new(),
            adjustments: Vec::new(),
            payments: Vec::new(),
            windows: Vec::new(),
            carried: Book::default(),
            out: Outcome::default(),
        }
    }

    /// Returns every later instant at which something can happen. It may return too many.
    fn next_instant(&self) -> Option<i64> {
        let accept = i64::from(self.catalog.policies.accept_usage_for_seconds);
        let mut instants: Vec<i64> = Vec::new();
        instants.extend(self.grants.iter().filter_map(|grant| grant.until));
        instants.extend(self.period.iter().flat_map(|period| [Some(period.end), period.due]).flatten());
        instants.extend(self.invoices.iter().map(|invoice| invoice.due));
        instants.extend(
            self.reports
                .iter()
                .flat_map(|report| [effect(report), report.window.start_time.as_second() + accept]),
        );
        instants.extend(self.packs.iter().map(|pack| pack.arrival.as_second() + DAY));
        instants.extend(self.adjustments.iter().map(|adjustment| adjustment.arrival.as_second() + DAY));
        instants.extend(self.payments.iter().map(|payment| payment.arrival.as_second() + DAY));
        if let Some(subscription) = &self.subscription {
            instants.extend(subscription.start_time.map(jiff::Timestamp::as_second));
        }
        instants.into_iter().filter(|instant| *instant > self.now).min()
    }

    /// Law 0: applies the changes of one instant in their order.
    fn instant(&mut self) {
        let arrives = self.arrives();
        if let Some(is_new) = arrives {
            let subscription = self.subscription.clone().expect("it arrives");
            if is_new {
                let start = subscription.start_time.unwrap_or(subscription.arrival).as_second();
                self.start = Some((start, self.now));
            } else {
                // A Subscription that is deleted and created in one second was still absent.
                self.run_out_orders(self.now - 1);
            }
            self.uid = subscription.uid;
        }
        self.after_boundary = false;
        self.usage();
        self.expire();
        self.after_boundary = true;
        if let (Some(is_new), Some(subscription)) = (arrives, self.subscription.clone()) {
            if is_new {
                self.change_plan(&subscription.request, true);
            } else {
                self.resume(&subscription.request);
            }
        } else if self.is_present() && self.period.as_ref().is_some_and(|period| period.end <= self.now) {
            self.boundary();
        }
        for payment in sorted(std::mem::take(&mut self.payments), |payment| payment.name.clone()) {
            if self.start.is_some() {
                self.pay(&payment);
            } else if payment.arrival.as_second() + DAY <= self.now
                && !self.exists_by(payment.arrival.as_second() + DAY)
            {
                self.say(&payment.uid, "UnknownInvoice");
            } else {
                self.payments.push(payment);
            }
        }
        self.run_out();
        self.purchases();
        self.adjust();
        if let Some(subscription) = self.subscription.clone().filter(|_| self.is_present()) {
            self.change_plan(&subscription.request, false);
            self.purchases();
        }
    }

    /// Returns true if the account starts now, and false if it is resumed.
    fn arrives(&self) -> Option<bool> {
        let subscription = self.subscription.as_ref()?;
        let starts = subscription.start_time.unwrap_or(subscription.arrival).as_second();
        match self.start {
            None => (starts <= self.now).then_some(true),
            Some(_) => (subscription.uid != self.uid).then_some(false),
        }
    }

    /// Returns true if the account has not started and has a Subscription that was created by `until`. No wait
    /// then expires (laws 15, 17).
    fn exists_by(&self, until: i64) -> bool {
        self.start.is_none()
            && self
                .subscription
                .as_ref()
                .is_some_and(|subscription| subscription.arrival.as_second() <= until)
    }

    fn is_present(&self) -> bool {
        self.start.is_some()
            && self.subscription.as_ref().is_some_and(|subscription| subscription.uid == self.uid)
    }

    // ---- usage (laws 5 to 10)

    fn usage(&mut self) {
        let accept = i64::from(self.catalog.policies.accept_usage_for_seconds);
        let reports = std::mem::take(&mut self.reports);
        let reports =
            sorted(reports, |report| (report.arrival, report.window.start_time, report.name.clone()));
        let mut reports = VecDeque::from(reports);
        while let Some(report) = reports.pop_front() {
            let (from, to) = (report.window.start_time.as_second(), report.window.end_time.as_second());
            let arrival = report.arrival.as_second();
            let ahead = i64::from(self.catalog.policies.accept_ahead_seconds);
            let early = match self.start {
                Some((start, _)) if to <= start => Some("BeforeSubscription"),
                Some(_) if to - arrival > ahead => Some("TooEarly"),
                _ => None,
            };
            if let Some(early) = early {
                // Law 0: there is no wait.
                self.say(&report.uid, early);
            } else if self.exists_by(arrival.max(from + accept)) {
                self.reports.push(report);
            } else if !self.is_present() {
                // Law 15: the wait ends by the clock, and includes its last instant.
                if from + accept <= self.now && arrival <= self.now {
                    self.say(&report.uid, "TooLate");
                } else {
                    self.reports.push(report);
                }
            } else if effect(&report) > self.now {
                self.reports.push(report);
            } else {
                let quantity: i128 = report.usage[0].quantity.to_string().parse().expect("whole bytes");
                let price = self.price_of_a_gigabyte(&report.usage[0].operation);
                let covered = self.covered.entry(report.source.clone()).or_default();
                let said = if arrival - from > accept {
                    "TooLate".to_owned()
                } else if let Some(reason) = covered.refuses(from, to) {
                    reason.to_owned()
                } else if let Some(price) = price {
                    let amount = quantity * price;
                    if amount > 0 {
                        covered.charged.push((from, to));
                        let waiting: Vec<&Report> = reports.iter().chain(&self.reports).collect();
                        close_gaps(&mut self.covered, &report.source, &waiting);
                    }
                    self.charge(amount, to, arrival, effect(&report));
                    format!("charged {}", shown(amount))
                } else {
                    "UnknownRate".to_owned()
                };
                self.say(&report.uid, &said);
            }
        }
    }

    /// Whole credits of one gigabyte on a private node.
    fn price_of_a_gigabyte(&self, operation: &str) -> Option<i128> {
        let is_asked = |rate: &&Rate| rate.node_type == "Private" && rate.operation == operation;
        let rate = self.catalog.rates.iter().find(is_asked)?;
        assert_eq!(rate.unit.to_string(), "1000000000", "the unit of every edition");
        Some(rate.credits.nanos() / 1_000_000_000)
    }

    fn charge(&mut self, amount: i128, window_end: i64, arrival: i64, effect: i64) {
        let grace = i64::from(self.catalog.policies.settlement_grace_seconds);
        self.consumed += amount;
        self.book_at(Line::Consumed, window_end, effect, amount);
        let mut owed = amount;
        self.grants.sort_by_key(|grant| {
            let number: u32 = if grant.kind == 0 { grant.id[5..].parse().expect("a number") } else { 0 };
            (grant.until.unwrap_or(i64::MAX), grant.kind, grant.from, number, grant.id.clone())
        });
        let mut claims = Vec::new();
        for grant in &mut self.grants {
            let in_time = grant.until.is_none_or(|until| window_end <= until && arrival <= until + grace);
            if !grant.has_expired || in_time {
                let paid = owed.min(grant.left);
                grant.left -= paid;
                owed -= paid;
                claims.extend(grant.until.filter(|_| grant.has_expired).map(|until| (until, paid)));
            }
        }
        for (until, paid) in claims {
            self.book_at(Line::Expired, until, effect, -paid);
        }
        self.debt += owed;
    }

    fn expire(&mut self) {
        let mut expired = Vec::new();
        for grant in self.grants.iter_mut().filter(|grant| !grant.has_expired) {
            if let Some(until) = grant.until.filter(|until| *until <= self.now) {
                grant.has_expired = true;
                expired.push((until, grant.left));
            }
        }
        for (until, left) in expired {
            self.book_at(Line::Expired, until, self.now, left);
        }
    }

    fn grant(&mut self, id: String, kind: usize, amount: i128, until: Option<i64>) {
        self.book_now([Line::Granted, Line::Adjusted, Line::Purchased][kind], amount);
        let repaid = amount.min(self.debt);
        self.debt -= repaid;
        let left = amount - repaid;
        self.grants.push(Grant { id, kind, given: amount, left, from: self.now, until, has_expired: false });
        self.expire();
    }

    // ---- statements (law 22)

    /// Books an amount that is dated at `time` and took effect at `effect`.
    fn book_at(&mut self, line: Line, time: i64, effect: i64, amount: i128) {
        let closes = i64::from(self.catalog.policies.settlement_grace_seconds) + 60;
        let holds = self.windows.iter().find(|(_, _, end)| time <= *end).copied();
        let current = self.current();
        match holds {
            Some((number, _, end)) if current == Some(number) || effect <= end + closes => {
                self.out.books.entry(number).or_default()[line as usize] += amount;
            }
            _ => self.book_now(line, amount),
        }
    }

    fn book_now(&mut self, line: Line, amount: i128) {
        let book = match self.current() {
            Some(number) => self.out.books.entry(number).or_default(),
            None => &mut self.carried,
        };
        book[line as usize] += amount;
    }

    /// Returns the number of the current period. No period follows one that ends while the Subscription is
    /// deleted.
    fn current(&self) -> Option<u32> {
        let is_over = |period: &&Period| period.end < self.now + i64::from(self.after_boundary);
        self.period.as_ref().filter(|period| !is_over(period)).map(|period| period.number)
    }

    // ---- periods (laws 3, 4, 11 to 13, 16, 17, 19)

    fn terms(&self, request: &Request) -> Option<Terms> {
        let plan = self.catalog.plans.iter().find(|plan| plan.name == request.plan)?;
        let offer = match request.billing_period {
            BillingPeriod::Monthly => plan.monthly?,
            BillingPeriod::Yearly => plan.yearly?,
        };
        Some(Terms {
            credits: offer.credits.nanos(),
            price: offer.price.nanos(),
            lapses_to: plan.lapses_to.clone(),
            allows_packs: plan.pack_purchases == PackPurchases::Allowed,
        })
    }

    /// Begins a period of `request`. Its grant comes with `invoice`, or immediately if there is none.
    fn begin(&mut self, request: &Request, terms: Terms, anchor: i64, months: i64, skipped: u32) {
        if let Some(cut) = self.period.as_ref().filter(|cut| cut.terms.price == 0 && self.now < cut.end) {
            let id = format!("plan/{}", cut.number);
            for grant in self.grants.iter_mut().filter(|grant| grant.id == id) {
                grant.until = Some(self.now);
            }
            self.expire();
        }
        self.number += 1 + skipped;
        let end = months_after(anchor, months + length(request));
        let request = request.clone();
        let yearly = request.billing_period == BillingPeriod::Yearly;
        if let Some((_, _, planned)) = self.windows.last_mut() {
            *planned = self.now.min(*planned);
        }
        self.windows.push((self.number, months_after(anchor, months), end));
        self.out.books.insert(self.number, std::mem::take(&mut self.carried));
        self.out.periods.push((self.number, months_after(anchor, months), request.plan.clone(), yearly));
        self.period = Some(Period { number: self.number, end, request, anchor, months, terms, due: None });
    }

    fn grant_period(&mut self) -> String {
        let period = self.period.as_mut().expect("a period");
        period.due = None;
        let (id, end, amount) = (format!("plan/{}", period.number), period.end, period.terms.credits);
        self.grant(id.clone(), 0, amount, Some(end));
        id
    }

    /// Issues the invoice of the period that just began, and grants its credits if the invoice is settled.
    fn bill(&mut self) {
        let price = self.period.as_ref().expect("a period").terms.price;
        if price == 0 {
            self.grant_period();
        } else {
            let (due, is_settled) = self.issue(For::Renewal, "Renewal", price);
            if is_settled {
                let id = self.grant_period();
                self.invoices.last_mut().expect("issued").grant = Some(id);
            } else {
                self.period.as_mut().expect("a period").due = Some(due);
            }
        }
    }

    fn boundary(&mut self) {
        let period = self.period.clone().expect("a period ends");
        let request = self.subscription.clone().expect("present").request;
        let months = period.months + length(&period.request);
        let due = period.due;
        if self.follow(&request, period.anchor, months)
            && let (Some(due), Some(period)) = (due, &mut self.period)
        {
            period.due = period.due.map(|later| later.min(due));
        }
    }

    /// Begins the next period. Returns true for a renewal, false for a lapse.
    fn follow(&mut self, request: &Request, anchor: i64, months: i64) -> bool {
        let in_force = self.period.clone().expect("a period ended").request;
        let is_inert = self.inert.as_ref() == Some(request);
        let asks_in_force =
            request.plan == in_force.plan && request.billing_period == in_force.billing_period;
        let renews_alone =
            self.has_lapsed && (is_inert || (request.renewal == Renewal::None && !asks_in_force));
        if request.renewal == Renewal::None && !renews_alone {
            self.lapse(request, "Void");
            return false;
        }
        let asked = self.terms(request).filter(|_| !renews_alone && !is_inert);
        let serves_request = asked.is_some();
        let next = if serves_request { request } else { &in_force };
        let Some(terms) = asked.or_else(|| self.terms(&in_force)) else {
            self.lapse(request, "Void");
            return false;
        };
        self.void_plan_invoice();
        self.begin(next, terms, anchor, months, 0);
        if serves_request {
            (self.has_lapsed, self.inert) = (false, None);
        } else if renews_alone {
            self.inert = Some(request.clone());
        } else if !is_inert {
            self.inert = None;
        }
        self.seen = Some(request.clone());
        self.seen_unknown = !serves_request && !renews_alone && !is_inert;
        self.bill();
        true
    }

    fn is_overdue(&self, now: i64) -> bool {
        self.period.as_ref().is_some_and(|period| period.due.is_some_and(|due| due <= now))
    }

    /// Lapses the last request. A plan change comes after it.
    fn lapse_unpaid(&mut self) {
        let request = self.seen.clone().expect("a plan was asked for");
        self.lapse(&request, "Void");
    }

    fn lapse(&mut self, request: &Request, state: &'static str) {
        let to = self.period.as_ref().expect("a plan lapses").terms.lapses_to.clone();
        if let Some(open) = self.open_plan_invoice() {
            open.state = state;
        }
        let is_asked_for = to.as_ref() == Some(&request.plan)
            && self.terms(request).is_some()
            && request.billing_period == BillingPeriod::Monthly
            && request.renewal == Renewal::Automatic;
        self.has_lapsed = !is_asked_for;
        (self.inert, self.seen) = (Some(request.clone()).filter(|_| !is_asked_for), Some(request.clone()));
        self.seen_unknown = false;
        let to = to.map(|plan| Request {
            plan,
            billing_period: BillingPeriod::Monthly,
            renewal: Renewal::Automatic,
        });
        let to = to.and_then(|to| Some((self.terms(&to)?, to)));
        match to {
            None => {
                self.period = None;
                if let Some((_, _, end)) = self.windows.last_mut() {
                    *end = self.now.min(*end);
                }
            }
            Some((terms, to)) => {
                self.begin(&to, terms, self.now, 0, 0);
                self.bill();
            }
        }
    }

    fn resume(&mut self, request: &Request) {
        if self.period.as_ref().is_none_or(|period| self.now < period.end) {
            // Its due time passed without a payment while the Subscription was deleted.
            if self.is_overdue(self.now - 1) {
                self.lapse_unpaid();
            }
            return;
        }
        if self.inert.as_ref() == Some(request) && !self.has_lapsed {
            self.lapse(request, "Void");
        } else {
            self.follow(request, self.now, 0);
        }
    }

    /// Follows the request, if it is new (laws 12, 13, 16, 18, 20).
    fn change_plan(&mut self, request: &Request, is_start: bool) {
        let before = self.seen.replace(request.clone());
        if let Some(before) = before.as_ref().filter(|_| !self.seen_unknown) {
            let same = before.plan == request.plan && before.billing_period == request.billing_period;
            let was_inert = self.inert.as_ref() == Some(before);
            if before == request || (same && !was_inert && !self.has_lapsed) {
                return;
            }
        }
        self.seen_unknown = self.terms(request).is_none();
        let asks_in_force = self.period.as_ref().is_some_and(|period| {
            period.request.plan == request.plan && period.request.billing_period == request.billing_period
        });
        let open_change = self
            .invoices
            .iter_mut()
            .find(|invoice| invoice.state == "Open" && matches!(invoice.purpose, For::Change(..)));
        if let Some(open) = open_change {
            open.state = "Void";
        }
        if (self.has_lapsed || self.inert.is_some()) && request.renewal == Renewal::None && !asks_in_force {
            (self.inert, self.seen_unknown) = (Some(request.clone()), false);
            return;
        }
        self.inert = None;
        let Some(terms) = self.terms(request) else { return self.invoice_again() };
        let reason = match &self.period {
            None if self.number == 0 => "Start",
            None => "Reactivation",
            Some(_) if asks_in_force => {
                self.has_lapsed = false;
                return self.invoice_again();
            }
            Some(_) if self.has_lapsed => "Reactivation",
            Some(period) => {
                let same_plan = period.request.plan == request.plan;
                let longer = length(request) > length(&period.request);
                let place = |name: &String| self.catalog.plans.iter().position(|plan| plan.name == *name);
                // A removed plan has no rank, so the plan with the higher monthly price is the higher one.
                let (now, then) = (12 / length(request), 12 / length(&period.request));
                let dearer = terms.price * i128::from(now) > period.terms.price * i128::from(then);
                let higher = place(&period.request.plan)
                    .map_or(dearer, |in_force| place(&request.plan) > Some(in_force));
                if !(if same_plan { longer } else { higher }) {
                    return self.invoice_again();
                }
                "Upgrade"
            }
        };
        self.void_plan_invoice();
        let price = terms.price;
        if price > 0 {
            let (_, is_settled) = self.issue(For::Change(request.clone(), terms.clone()), reason, price);
            if !is_settled {
                return;
            }
        }
        let id = self.begin_changed(request, terms, is_start);
        if price > 0 {
            self.invoices.last_mut().expect("issued").grant = Some(id);
        }
    }

    fn begin_changed(&mut self, request: &Request, terms: Terms, is_start: bool) -> String {
        self.has_lapsed = false;
        if is_start && self.number == 0 {
            let start = self.start.expect("it starts").0;
            let mut skipped = 0;
            while months_after(start, i64::from(skipped + 1) * length(request)) <= self.now {
                skipped += 1;
            }
            self.begin(request, terms, start, i64::from(skipped) * length(request), skipped);
        } else {
            self.begin(request, terms, self.now, 0, 0);
        }
        self.grant_period()
    }

    // ---- invoices and payments (law 18)

    fn issue(&mut self, purpose: For, reason: &'static str, amount: i128) -> (i64, bool) {
        let payments = self.catalog.policies.payments;
        let is_settled = payments.mode == PaymentMode::Internal;
        let state = if is_settled { "Settled" } else { "Open" };
        let due = self.now + i64::from(payments.due_within_seconds);
        self.invoices.push(Invoice { purpose, reason, amount, state, due, grant: None });
        (due, is_settled)
    }

    fn open_plan_invoice(&mut self) -> Option<&mut Invoice> {
        self.invoices
            .iter_mut()
            .find(|invoice| invoice.state == "Open" && !matches!(invoice.purpose, For::Pack(_)))
    }

    fn void_plan_invoice(&mut self) {
        if let Some(open) = self.open_plan_invoice() {
            open.state = "Void";
        }
    }

    /// Issues the invoice of an unpaid renewal again, if an upgrade had voided it and was cancelled.
    fn invoice_again(&mut self) {
        let Some((due, price)) =
            self.period.as_ref().and_then(|period| Some((period.due?, period.terms.price)))
        else {
            return;
        };
        if self.open_plan_invoice().is_none() {
            self.issue(For::Renewal, "Renewal", price);
            self.invoices.last_mut().expect("issued").due = due;
        }
    }

    fn pay(&mut self, payment: &Payment) {
        let index = payment.invoice.rsplit('-').next().and_then(|number| number.parse::<usize>().ok());
        let index =
            index.and_then(|number| number.checked_sub(1)).filter(|index| *index < self.invoices.len());
        let Some(index) = index else {
            self.refuse(format!("payment {}", payment.name), "UnknownInvoice");
            return self.say(&payment.uid, "UnknownInvoice");
        };
        let invoice = self.invoices[index].clone();
        let said = match (payment.state, invoice.state) {
            _ if payment.amount.nanos() != invoice.amount => "WrongAmount",
            (PaymentState::Refunded, "Settled" | "RefundDue") => {
                self.invoices[index].state = "Refunded";
                if let (For::Pack(order), Some(_)) = (&invoice.purpose, &invoice.grant) {
                    self.order(&order.name, "refunded");
                }
                self.take_back(invoice.grant.as_deref());
                "applied"
            }
            (PaymentState::Refunded, _) => "NotSettled",
            (_, "Settled" | "RefundDue" | "Refunded") => "AlreadySettled",
            (PaymentState::Settled, "Void") => {
                self.invoices[index].state = "RefundDue";
                "refund due"
            }
            (PaymentState::Settled, _) => {
                self.invoices[index].state = "Settled";
                let id = match &invoice.purpose {
                    For::Change(request, terms) => self.begin_changed(request, terms.clone(), false),
                    For::Renewal => self.grant_period(),
                    For::Pack(order) => self.grant_pack(order),
                };
                self.invoices[index].grant = Some(id);
                "applied"
            }
            (PaymentState::Cancelled, "Open") if invoice.purpose != For::Renewal => {
                self.give_up(index, "PaymentCancelled");
                "applied"
            }
            (PaymentState::Cancelled | PaymentState::Failed, _) => "applied",
        };
        if !matches!(said, "applied" | "refund due") {
            self.refuse(format!("payment {}", payment.name), said);
        }
        self.say(&payment.uid, said);
    }

    /// Takes back the rest of a grant, including settling credits, unless its settlement is over.
    fn take_back(&mut self, id: Option<&str>) {
        let closes = i64::from(self.catalog.policies.settlement_grace_seconds) + 60;
        let now = self.now;
        let is_left = |grant: &&mut Grant| {
            Some(grant.id.as_str()) == id && grant.until.is_none_or(|until| now < until + closes)
        };
        let Some(grant) = self.grants.iter_mut().find(is_left) else { return };
        let left = std::mem::take(&mut grant.left);
        let expired = grant.until.filter(|_| grant.has_expired);
        self.refunded += left;
        self.book_now(Line::Refunded, left);
        if let Some(until) = expired {
            self.book_at(Line::Expired, until, now, -left);
        }
    }

    fn give_up(&mut self, index: usize, reason: &'static str) {
        self.invoices[index].state = "Void";
        match self.invoices[index].purpose.clone() {
            For::Pack(order) => self.order(&order.name, reason),
            For::Change(..) | For::Renewal => self.inert.clone_from(&self.seen),
        }
    }

    /// Ends invoices that are due and waits that end at this instant.
    fn run_out(&mut self) {
        for index in 0..self.invoices.len() {
            let invoice = &self.invoices[index];
            if invoice.state == "Open" && invoice.due <= self.now && invoice.purpose != For::Renewal {
                self.give_up(index, "PaymentExpired");
            }
        }
        if self.is_overdue(self.now) && self.is_present() {
            self.lapse_unpaid();
        } else if self.is_overdue(self.now) {
            self.void_plan_invoice();
        }
        if !self.is_present() {
            self.run_out_orders(self.now);
        }
    }

    /// Ends the wait of orders that began at least a day before `now`.
    fn run_out_orders(&mut self, now: i64) {
        let (packs, adjustments) = (std::mem::take(&mut self.packs), std::mem::take(&mut self.adjustments));
        let is_over = |arrival: jiff::Timestamp| {
            let until = arrival.as_second() + DAY;
            until <= now && !self.exists_by(until)
        };
        let (gone_packs, packs): (Vec<PackOrder>, Vec<PackOrder>) =
            packs.into_iter().partition(|pack| is_over(pack.arrival) && !self.found.contains(&pack.uid));
        let (gone_adjustments, adjustments): (Vec<Adjustment>, Vec<Adjustment>) =
            adjustments.into_iter().partition(|adjustment| is_over(adjustment.arrival));
        (self.packs, self.adjustments) = (packs, adjustments);
        for pack in sorted(gone_packs, |pack| (pack.name.clone(), pack.uid.clone())) {
            self.decide_pack(&pack, Some("SubscriptionNotFound"));
        }
        for adjustment in
            sorted(gone_adjustments, |adjustment| (adjustment.name.clone(), adjustment.uid.clone()))
        {
            self.decide_adjustment(&adjustment, Some("SubscriptionNotFound"));
        }
    }

    // ---- packs and adjustments (laws 14, 15, 25)

    fn purchases(&mut self) {
        if self.is_present() {
            self.found.extend(self.packs.iter().map(|pack| pack.uid.clone()));
        }
        for pack in sorted(std::mem::take(&mut self.packs), |pack| (pack.name.clone(), pack.uid.clone())) {
            if self.found.contains(&pack.uid) || self.is_known(&pack) {
                self.decide_pack(&pack, None);
            } else {
                self.packs.push(pack);
            }
        }
    }

    /// Returns true if an order of that name had an outcome before. The new one is then not pending.
    fn is_known(&self, pack: &PackOrder) -> bool {
        let sold = self.orders.get(&pack.name).is_some_and(|order| order.pack.pack == pack.pack);
        sold || self.was_refused(&format!("pack {}", pack.name)).is_some()
    }

    fn order(&mut self, name: &str, state: &'static str) {
        if let Some(order) = self.orders.get_mut(name) {
            order.state = state;
            for uid in std::mem::take(&mut order.waiting) {
                self.say(&uid, state);
            }
        }
    }

    fn decide_pack(&mut self, pack: &PackOrder, run_out: Option<&'static str>) {
        if let Some(order) = self.orders.get_mut(&pack.name).filter(|order| order.pack.pack == pack.pack) {
            order.waiting.push(pack.uid.clone());
            let state = order.state;
            return self.say(&pack.uid, state);
        }
        let known = self.orders.get(&pack.name);
        let key = format!("pack {}", pack.name);
        if let Some(refused) = self.was_refused(&key) {
            return self.say(&pack.uid, &refused);
        }
        let sold = self.catalog.packs.iter().find(|sold| sold.name == pack.pack);
        let reason = match (run_out, sold) {
            (Some(reason), _) => reason,
            _ if known.is_some() => "NameAlreadyUsed",
            (_, None) => "UnknownPack",
            (_, Some(_)) if self.first_period_may_come() => {
                if self.is_full() {
                    self.refuse(key, "LedgerFull");
                    return self.say(&pack.uid, "LedgerFull");
                }
                self.packs.push(pack.clone());
                return;
            }
            (_, Some(_)) => match &self.period {
                Some(period) if period.due.is_none() && period.terms.allows_packs => {
                    let max = self.catalog.policies.pack_limit.max as usize;
                    if self.taken_in_month_of(pack.arrival.as_second()) >= max {
                        "PackLimitReached"
                    } else if self.is_full() {
                        "LedgerFull"
                    } else if self.is_present() {
                        ""
                    } else {
                        self.packs.push(pack.clone());
                        return;
                    }
                }
                _ => "PlanNotEligible",
            },
        };
        if !reason.is_empty() {
            self.refuse(key, reason);
            return self.say(&pack.uid, reason);
        }
        let sold = sold.expect("known");
        let price = sold.price.nanos();
        let order = Order {
            pack: pack.clone(),
            credits: sold.credits.nanos(),
            expires_after_days: sold.expires_after_days,
            state: "awaits payment",
            waiting: vec![pack.uid.clone()],
        };
        self.orders.insert(pack.name.clone(), order);
        let (_, is_settled) = self.issue(For::Pack(pack.clone()), "Pack", price);
        if is_settled {
            let id = self.grant_pack(pack);
            self.invoices.last_mut().expect("issued").grant = Some(id);
        } else {
            self.say(&pack.uid, "awaits payment");
        }
    }

    fn first_period_may_come(&mut self) -> bool {
        self.number == 0 && (self.open_plan_invoice().is_some() || self.seen_unknown)
    }

    /// Law 26: returns true if open grants and orders that can become grants are 56 or more.
    fn is_full(&mut self) -> bool {
        let closes = i64::from(self.catalog.policies.settlement_grace_seconds) + 60;
        let now = self.now;
        let is_open = |grant: &&Grant| grant.left > 0 && grant.until.is_none_or(|until| now < until + closes);
        let open = self.grants.iter().filter(is_open).count();
        let unpaid = self.orders.values().filter(|order| order.state == "awaits payment").count();
        let waiting = self.packs.iter().filter(|pack| self.found.contains(&pack.uid)).count();
        let first = usize::from(waiting > 0 && self.first_period_may_come());
        open + unpaid + waiting + first >= 56
    }

    fn taken_in_month_of(&self, arrival: i64) -> usize {
        let start = self.start.expect("an account").0;
        let month = |at: i64| (1..12_000).find(|month| months_after(start, *month) > at);
        let taken = |order: &&Order| {
            !order.state.starts_with("Payment") && month(order.pack.arrival.as_second()) == month(arrival)
        };
        self.orders.values().filter(taken).count()
    }

    fn grant_pack(&mut self, order: &PackOrder) -> String {
        let sold = &self.orders[&order.name];
        let until = sold.expires_after_days.map(|days| self.now + i64::from(days) * DAY);
        let (id, credits) = (format!("pack/{}", order.name), sold.credits);
        self.grant(id.clone(), 2, credits, until);
        self.order(&order.name, "granted");
        id
    }

    fn adjust(&mut self) {
        let adjustments = std::mem::take(&mut self.adjustments);
        for adjustment in sorted(adjustments, |adjustment| (adjustment.name.clone(), adjustment.uid.clone()))
        {
            let is_given = self.given.get(&adjustment.name) == Some(&adjustment.credits.nanos());
            let is_known = is_given || self.was_refused(&format!("adjustment {}", adjustment.name)).is_some();
            if self.is_present() || is_known {
                self.decide_adjustment(&adjustment, None);
            } else {
                self.adjustments.push(adjustment);
            }
        }
    }

    fn decide_adjustment(&mut self, adjustment: &Adjustment, run_out: Option<&'static str>) {
        let amount = adjustment.credits.nanos();
        let key = format!("adjustment {}", adjustment.name);
        let known = self.given.get(&adjustment.name).copied();
        let refused = self.was_refused(&key);
        let is_new = refused.is_none();
        let said = match (known, refused, run_out) {
            (Some(known), ..) if known == amount => format!("granted {}", shown(amount)),
            (_, Some(refused), _) => refused,
            (_, _, Some(reason)) => reason.to_owned(),
            (Some(_), ..) => "NameAlreadyUsed".to_owned(),
            _ if adjustment.expiration_time.is_some_and(|time| time <= adjustment.arrival) => {
                "AlreadyExpired".to_owned()
            }
            _ if self.is_full() => "LedgerFull".to_owned(),
            _ => {
                self.given.insert(adjustment.name.clone(), amount);
                let until = adjustment.expiration_time.map(jiff::Timestamp::as_second);
                self.grant(format!("adjustment/{}", adjustment.name), 1, amount, until);
                format!("granted {}", shown(amount))
            }
        };
        if !said.starts_with("granted") && is_new {
            self.refuse(key, &said);
        }
        self.say(&adjustment.uid, &said);
    }

    fn was_refused(&self, key: &str) -> Option<String> {
        self.refused.iter().find(|(known, _)| known == key).map(|(_, reason)| reason.clone())
    }

    fn refuse(&mut self, key: String, reason: &str) {
        if self.start.is_none() {
            return; // There is no ledger yet to store it.
        }
        let kind = |key: &str| key.split(' ').next().map(str::to_owned);
        let same: Vec<usize> =
            (0..self.refused.len()).filter(|index| kind(&self.refused[*index].0) == kind(&key)).collect();
        if same.len() >= 64 {
            self.refused.remove(same[0]);
        }
        self.refused.push((key, reason.to_owned()));
    }

    fn say(&mut self, uid: &str, said: &str) {
        // A refund follows the grant of a pack and is not its verdict.
        let said = if said == "refunded" { "granted" } else { said };
        self.out.said.insert(uid.to_owned(), said.to_owned());
    }

    /// Computes the results from the remaining state.
    fn finish(mut self) -> Outcome {
        let given = |kind: usize| {
            self.grants.iter().filter(|grant| grant.kind == kind).map(|grant| grant.given).sum()
        };
        let expired = self.grants.iter().filter(|grant| grant.has_expired).map(|grant| grant.left).sum();
        self.out.totals = [given(0), given(2), given(1), self.consumed, expired, self.refunded];
        let current = self.grants.iter().filter(|grant| !grant.has_expired && grant.left > 0);
        self.out.grants = current.map(|grant| (grant.id.clone(), grant.left)).collect();
        self.out.debt = self.debt;
        self.out.invoices =
            self.invoices.iter().map(|invoice| format!("{}:{}", invoice.reason, invoice.state)).collect();
        self.out
    }
}

fn sorted<T, K: Ord>(mut items: Vec<T>, key: impl FnMut(&T) -> K) -> Vec<T> {
    items.sort_by_key(key);
    items
}

/// Returns the time at which usage takes effect: the later of window end and arrival.
fn effect(report: &Report) -> i64 {
    report.window.end_time.max(report.arrival).as_second()
}

fn length(request: &Request) -> i64 {
    if request.billing_period == BillingPeriod::Yearly { 12 } else { 1 }
}

impl Covered {
    /// Returns the reason if a window is not charged. Closed gaps, and all time before the newest 16 of them,
    /// are not charged. The rest is not charged twice.
    fn refuses(&self, from: i64, to: i64) -> Option<&'static str> {
        let newest = sorted(self.closed.clone(), |(start, _)| std::cmp::Reverse(*start));
        let certain_from = if newest.len() > 16 { newest[15].0 } else { i64::MIN };
        let meets = |(start, end): &(i64, i64)| *start < to && from < *end;
        let is_charged = self
            .charged
            .iter()
            .any(|(start, end)| meets(&((*start).max(certain_from), *end)) && certain_from < *end);
        let is_closed = self.charged.iter().chain(&self.closed).any(meets);
        if is_charged { Some("DuplicateWindow") } else { is_closed.then_some("GapClosed") }
    }

    /// Returns the stretches, with touching ones merged.
    fn stretches(&self) -> Vec<(i64, i64)> {
        let mut stretches: Vec<(i64, i64)> = Vec::new();
        for (start, end) in
            sorted(self.charged.iter().chain(&self.closed).copied().collect(), |window| *window)
        {
            match stretches.last_mut().filter(|last| last.1 >= start) {
                Some(last) => last.1 = last.1.max(end),
                None => stretches.push((start, end)),
            }
        }
        stretches
    }

    fn gaps(&self) -> Vec<(i64, i64)> {
        self.stretches().windows(2).map(|pair| (pair[0].1, pair[1].0)).collect()
    }
}

/// Closes gaps until each source has at most 1,024 stretches, and all sources have at most 4,096. It closes the
/// oldest first, and none that a pending report fills.
fn close_gaps(covered: &mut BTreeMap<String, Covered>, source: &str, waiting: &[&Report]) {
    let is_awaited = |source: &str, (start, end): (i64, i64)| {
        waiting.iter().any(|report| {
            let (from, to) = (report.window.start_time.as_second(), report.window.end_time.as_second());
            report.source == source && start <= from && to <= end
        })
    };
    let of_source = covered.get_mut(source).expect("charged");
    let gaps = of_source.gaps();
    let surplus = (gaps.len() + 1).saturating_sub(1_024);
    let closable = gaps.iter().copied().filter(|gap| surplus > 0 && !is_awaited(source, *gap));
    let closable: Vec<_> = closable.take(surplus).collect();
    of_source.count = gaps.len() + 1 - closable.len();
    of_source.closed.extend(closable);
    let total: usize = covered.values().map(|covered| covered.count).sum();
    if total > 4_096 {
        let gaps = covered.iter().flat_map(|(source, covered)| {
            covered.gaps().into_iter().map(|gap| (gap.0, source.clone(), gap)).collect::<Vec<_>>()
        });
        let closable = gaps.filter(|(_, source, gap)| !is_awaited(source, *gap)).collect();
        for (_, source, gap) in sorted::<_, _>(closable, Clone::clone).into_iter().take(total - 4_096) {
            let of_source = covered.get_mut(&source).expect("it has gaps");
            of_source.closed.push(gap);
            of_source.count -= 1;
        }
    }
}

/// Returns a number of billionths as text.
fn shown(nanos: i128) -> String {
    let text = format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Returns the time `months` calendar months after `second`, by counting days.
pub(crate) fn months_after(second: i64, months: i64) -> i64 {
    let is_leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let days_in = |year: i64, month: i64| match month {
        1 if is_leap(year) => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    };
    let (mut day, in_day) = (second.div_euclid(DAY), second.rem_euclid(DAY));
    let (mut year, mut month) = (1970, 0);
    while day >= days_in(year, month) {
        day -= days_in(year, month);
        month += 1;
        if month == 12 {
            (year, month) = (year + 1, 0);
        }
    }
    let (goal_year, goal_month) = (year + (month + months).div_euclid(12), (month + months).rem_euclid(12));
    let day = day.min(days_in(goal_year, goal_month) - 1);
    let (mut year, mut month, mut days) = (1970, 0, day);
    while (year, month) != (goal_year, goal_month) {
        days += days_in(year, month);
        month += 1;
        if month == 12 {
            (year, month) = (year + 1, 0);
        }
    }
    days * DAY + in_day
}
